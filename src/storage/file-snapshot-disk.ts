import { close, fsync, ftruncate, open, read, readdir, stat, write } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { makeDirectory, syncDirectory } from './file-directories.js'
import { patiently } from './file-patience.js'
import type { Callback } from './ports.js'
import { refuse } from './record-disk.js'
import type { FileFound, SnapshotDisk, SnapshotFile } from './snapshot-disk.js'
import { call, perform, type Steps } from './snapshot-steps.js'

const FLAGS = { create: 'w+', append: 'r+', read: 'r' } as const

/** Snapshots' files in a directory. */
export class FileSnapshotDisk implements SnapshotDisk {
  readonly name: string
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = resolve(directory)
    this.name = `snapshot directory ${this.#directory}`
  }

  open(callback: Callback<readonly FileFound[]>): void {
    perform(openDirectory(this.#directory), callback)
  }

  file(name: string, use: 'create' | 'append' | 'read', callback: Callback<SnapshotFile>): void {
    open(
      join(this.#directory, name),
      FLAGS[use],
      0o644,
      asCallback((error, descriptor) => {
        if (error === undefined) callback(undefined, new DescribedFile(descriptor))
        else refuse(callback, error)
      }),
    )
  }

  rename(from: string, to: string, callback: Callback): void {
    perform(renameDurably(this.#directory, from, to), callback)
  }

  remove(name: string, callback: Callback): void {
    perform(awaited(patiently(() => rm(join(this.#directory, name), { force: true }))), callback)
  }

  close(callback: Callback): void {
    callback(undefined)
  }
}

class DescribedFile implements SnapshotFile {
  readonly #descriptor: number

  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  read(offset: number, length: number, callback: Callback<Uint8Array>): void {
    perform(readFully(this.#descriptor, offset, length), callback)
  }

  write(offset: number, bytes: Uint8Array, callback: Callback): void {
    perform(writeFully(this.#descriptor, offset, bytes), callback)
  }

  truncate(length: number, callback: Callback): void {
    ftruncate(this.#descriptor, length, asCallback(callback))
  }

  sync(callback: Callback): void {
    fsync(this.#descriptor, asCallback(callback))
  }

  close(callback: Callback): void {
    close(this.#descriptor, asCallback(callback))
  }
}

/** From Node's way of saying that there was no error. */
function asCallback<Result>(callback: Callback<Result>): (error: Error | null | undefined, result: Result) => void {
  return (error, result) => callback(error ?? undefined, result)
}

function* openDirectory(directory: string): Steps<FileFound[]> {
  yield* awaited(makeDirectory(directory))
  const found: FileFound[] = []
  for (const name of yield* call<string[]>((done) => readdir(directory, asCallback(done)))) {
    const { size } = yield* call<{ size: number }>((done) => stat(join(directory, name), asCallback(done)))
    found.push({ name, byteLength: size })
  }
  return found
}

/** A promise as a step. What the steps themselves throw is nobody's to swallow. */
function awaited(promise: Promise<void>): Steps<void> {
  return call((done) => {
    promise.then(
      () => done(undefined),
      (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
    )
  })
}

function* renameDurably(directory: string, from: string, to: string): Steps<void> {
  yield* awaited(patiently(() => rename(join(directory, from), join(directory, to))))
  yield* awaited(syncDirectory(directory))
}

function* readFully(descriptor: number, offset: number, length: number): Steps<Uint8Array> {
  const bytes = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const at = filled
    const count = yield* call<number>((done) =>
      read(descriptor, bytes, at, length - at, offset + at, (error, count) => done(error ?? undefined, count)),
    )
    if (count === 0) break
    filled += count
  }
  return bytes.subarray(0, filled)
}

function* writeFully(descriptor: number, offset: number, bytes: Uint8Array): Steps<void> {
  for (let written = 0; written < bytes.length;) {
    const at = written
    written += yield* call<number>((done) =>
      write(descriptor, bytes, at, bytes.length - at, offset + at, (error, count) => done(error ?? undefined, count)),
    )
  }
}
