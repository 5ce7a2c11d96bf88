/** Runs the example twice on one data directory: the second run finds what the first has written. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))
const dataDir = await mkdtemp(join(tmpdir(), 'actorum-quick-start-'))
try {
  for (const run of [1, 2]) {
    const { stdout } = await promisify(execFile)(process.execPath, [...process.execArgv, main, dataDir])
    assert.match(stdout, new RegExp(`^Run ${run} on `))
  }
} finally {
  await rm(dataDir, { recursive: true, force: true })
}
