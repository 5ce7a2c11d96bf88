import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { Level } from 'level'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ActorumError, type EngineOptions } from '../../src/index.js'
import { runKey, SERVER_RECORD_KEY } from '../../src/storage/level-keys.js'
import { EnginePlace } from './engine-place.js'

const NEWER = 9
const VIEWS = { keyEncoding: 'view', valueEncoding: 'view' } as const

let place: EnginePlace

beforeEach(async () => {
  place = await EnginePlace.make()
})

afterEach(() => place.dispose())

/** What a newer version would write in the place of the first `length` bytes, its checksum right. */
function ofNewerFormat(bytes: Uint8Array, length = bytes.length): Uint8Array {
  const newer = bytes.slice()
  newer[0] = NEWER
  const sum = crc32(newer.subarray(8, length), crc32(newer.subarray(0, 4)))
  new DataView(newer.buffer).setUint32(4, sum)
  return newer
}

/** The files in a server's directory whose path fits. */
async function filesLike(pattern: RegExp): Promise<readonly string[]> {
  const root = place.directory(1)
  const paths = await readdir(root, { recursive: true })
  const fitting = paths.filter((path) => pattern.test(path)).toSorted()
  expect(fitting, `${pattern.source} in ${paths.join(', ')}`).not.toEqual([])
  return fitting.map((path) => join(root, path))
}

async function rewrite(path: string, change: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  await writeFile(path, change(new Uint8Array(await readFile(path))))
}

async function rewriteRecord(key: Uint8Array, change: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  const [current] = await filesLike(/\bCURRENT$/)
  const level = new Level<Uint8Array, Uint8Array>(join(current!, '..'), VIEWS)
  await level.open()
  const bytes = await level.get(key)
  expect(bytes).toBeDefined()
  await level.put(key, change(bytes), { sync: true })
  await level.close()
}

async function rewriteWatermark(): Promise<void> {
  const [path] = await filesLike(/\bwatermark$/)
  // Two slots, each on a page of its own: the second may not be written yet.
  await rewrite(path!, (bytes) => {
    const slot = ofNewerFormat(bytes.subarray(0, 40))
    bytes.set(slot)
    return bytes
  })
}

async function rewriteSnapshot(): Promise<void> {
  const [path] = await filesLike(/^snapshots\/[^/]+$/)
  await rewrite(path!, (bytes) => {
    const body = new DataView(bytes.buffer).getUint32(12)
    return ofNewerFormat(bytes, 16 + body)
  })
}

async function rewriteSegment(): Promise<void> {
  const paths = await filesLike(/\bsegments\/[^/]+$/)
  await rewrite(paths[0]!, (bytes) => ofNewerFormat(bytes, 32))
}

const FILES: readonly (readonly [string, EngineOptions['logStore'], () => Promise<void>])[] = [
  [
    'the record of a run',
    'level',
    () => rewriteRecord(runKey(1), (bytes) => Uint8Array.of(NEWER, ...bytes.subarray(1))),
  ],
  ['the server record', 'level', () => rewriteRecord(SERVER_RECORD_KEY, ofNewerFormat)],
  ['the watermark', 'level', rewriteWatermark],
  ['the watermark', 'file', rewriteWatermark],
  ['a segment', 'file', rewriteSegment],
  ['a snapshot', 'level', rewriteSnapshot],
  ['a snapshot', 'file', rewriteSnapshot],
]

describe('a data directory that a newer version wrote', () => {
  it.each(FILES)('is refused for %s (logStore: %s), with words to upgrade', async (_, logStore, makeNewer) => {
    const engine = await place.start({ logStore })
    await engine.ready()
    await engine.client.put('hello', 'world')
    await engine.snapshot()
    await engine.stop()
    await makeNewer()
    const refusal: unknown = await place.start({ logStore }).catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(ActorumError)
    expect(refusal).toMatchObject({ code: 'UNSUPPORTED_FORMAT' })
    expect(String(refusal)).toMatch(/newer version/)
    expect(String(refusal)).toMatch(/Upgrade Actorum on this server/)
  })
})
