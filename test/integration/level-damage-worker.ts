import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { bytesOf, OpenStore } from '../../src/testing/log-store-subject.js'
import { storeIn } from './level-place.js'

/** Harm to one of LevelDB's files: a byte flipped, or the file cut short. */
export interface Damage {
  readonly file: string
  readonly offset: number
  /** What the byte at `offset` is changed by; undefined: the file ends there. */
  readonly mask: number | undefined
}

/** All that the store in `directory` holds, or the code with which it refuses to say, or stops. */
export async function contentsOf(directory: string): Promise<unknown> {
  const failures: Error[] = []
  try {
    const opened = await OpenStore.open(storeIn(directory), undefined, { failed: (error) => failures.push(error) })
    const contents = await contentsOfOpen(opened).finally(() => opened.close())
    if (failures[0] !== undefined) throw failures[0]
    return contents
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : String(error)
  }
}

async function contentsOfOpen(opened: OpenStore): Promise<unknown> {
  return { ...opened.recovered, runs: bytesOf(await opened.read(opened.recovered.boundary.index + 1)) }
}

async function harm(directory: string, { file, offset, mask }: Damage): Promise<void> {
  const path = join(directory, 'log', file)
  const bytes = await readFile(path)
  if (mask !== undefined) bytes[offset]! ^= mask
  await writeFile(path, mask === undefined ? bytes.subarray(0, offset) : bytes)
}

// As a process of its own: a line of JSON for each damage to a copy of the intact directory. On some damaged tables
// LevelDB ends its process by a failed assertion, and this file ends there.
const [intact, damages] = process.argv.slice(2)
if (intact !== undefined && damages !== undefined) {
  const copy = `${intact}-damaged`
  for (const damage of JSON.parse(damages) as Damage[]) {
    await rm(copy, { recursive: true, force: true })
    await cp(intact, copy, { recursive: true })
    await harm(copy, damage)
    process.stdout.write(`${JSON.stringify(await contentsOf(copy))}\n`)
  }
}
