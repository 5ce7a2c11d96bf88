import { stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { crc32 } from 'node:zlib'
import { ActorumError } from '../errors.js'
import type { Malformed } from '../machines/entry-run.js'
import { FileSnapshotDisk } from '../storage/file-snapshot-disk.js'
import type { SnapshotFile } from '../storage/snapshot-disk.js'
import { readEnds, SnapshotFileReader } from '../storage/snapshot-file-reader.js'
import type { SnapshotHeader, SnapshotTrailer } from '../storage/snapshot-format.js'
import { perform, type Steps } from '../storage/snapshot-steps.js'

/** What a sound snapshot says of itself. */
export type SnapshotEnds = SnapshotHeader & SnapshotTrailer

/**
 * Reads a snapshot's file, a backup's too, from beginning to end. Returns what it says of itself, or what is wrong with
 * it. Rejects where it cannot be read at all.
 */
export async function verifySnapshot(path: string): Promise<SnapshotEnds | Malformed> {
  const ends = await readEndsOf(path)
  if ('malformed' in ends) return ends
  const chunks = chunksOf(path)
  for (;;) {
    const next = await chunks.next()
    if (next.done === true) return next.value ?? ends
  }
}

/** The chunks of a snapshot, each checked. Ends with what is wrong, if anything is. */
export async function* chunksOf(path: string): AsyncGenerator<Uint8Array, Malformed | undefined, void> {
  const { disk, name } = placeOf(path)
  const file = await new Promise<SnapshotFile>((resolve, reject) => {
    disk.file(name, 'read', (error, file) => (error === undefined ? resolve(file) : reject(error)))
  })
  const reader = new SnapshotFileReader(file, crc32)
  try {
    for (;;) {
      const chunk = await promised(reader.next())
      if (chunk === undefined || 'malformed' in chunk) return chunk
      yield chunk
    }
  } finally {
    await promised(reader.close())
  }
}

/** What is wrong with a file, as an error that says what to do. */
export function refusalOf(what: string, { malformed, newer }: Malformed): ActorumError {
  if (newer === true) {
    return new ActorumError(
      'UNSUPPORTED_FORMAT',
      `${what} was written by a newer version: ${malformed}; upgrade Actorum`,
    )
  }
  return new ActorumError('CORRUPT', `${what} is damaged, or is no such file: ${malformed}; use another one`)
}

async function readEndsOf(path: string): Promise<SnapshotEnds | Malformed> {
  const { size } = await stat(path)
  const { disk, name } = placeOf(path)
  return promised(readEnds(disk, { name, byteLength: size }, crc32))
}

function placeOf(path: string): { readonly disk: FileSnapshotDisk; readonly name: string } {
  const whole = resolve(path)
  return { disk: new FileSnapshotDisk(dirname(whole)), name: basename(whole) }
}

function promised<Result>(steps: Steps<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    perform(steps, (error, result) => (error === undefined ? resolve(result) : reject(error)))
  })
}
