// Three servers elect a leader, take a write, lose their leader and still answer: what `npm start` shows.
// Ends by itself, and leaves no process and no file behind.
import { mkdtemp, rm } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Cluster } from './cluster.js'
import { tell } from './story.js'

/** Set by a signal, or when nobody reads what is written. */
let endedBy: string | undefined

const ended = new Promise<never>((_, reject) => {
  const end = (why: string): void => {
    endedBy ??= why
    reject(new Error(why))
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end)
  for (const stream of [process.stdout, process.stderr]) stream.on('error', (error: Error) => end(error.message))
})

try {
  await tellOnScratchDisks()
} catch (error) {
  // A signal that also ended a server may be heard a moment after it.
  await nextTurn()
  process.exitCode = endedBy === undefined ? 1 : exitStatus(endedBy)
  console.error(`\n  ${endedBy === undefined ? `The story failed: ${textOf(error)}` : `Ended early (${endedBy}).`}`)
}

async function tellOnScratchDisks(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'actorum-story-'))
  const cluster = new Cluster(directory)
  try {
    await Promise.race([tell(cluster), ended])
  } finally {
    await cluster.close()
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** As shells count it: 128 and the signal's number. */
function exitStatus(why: string): number {
  const number = Object.entries(constants.signals).find(([name]) => name === why)?.[1]
  return number === undefined ? 1 : 128 + number
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
