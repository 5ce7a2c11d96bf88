// Runs every example that can be run unattended: examples/*/smoke.ts, or main.ts when one of its lines begins with
// "// Ends by itself". Each must end with status 0 within a minute and leave no process behind.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const LIMIT_MS = 60_000
const GRACE_MS = 2_000
const root = fileURLToPath(new URL('..', import.meta.url))

const scripts = readdirSync(join(root, 'examples')).map(unattended).filter(Boolean).sort()
let failed = 0
for (const script of scripts) {
  const started = performance.now()
  const { fault, output } = await runExample(script)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  if (fault === undefined) console.log(`ok      ${script} (${seconds} s)`)
  else console.error(`FAILED  ${script}: ${fault}\n${output.trimEnd()}`)
  if (fault !== undefined) failed++
}
console.log(`${scripts.length - failed} of ${scripts.length} examples ran to their end`)
process.exitCode = failed === 0 ? 0 : 1

function unattended(name) {
  const smoke = join('examples', name, 'smoke.ts')
  const main = join('examples', name, 'main.ts')
  if (existsSync(join(root, smoke))) return smoke
  if (!existsSync(join(root, main))) return undefined
  return /^\/\/ Ends by itself/m.test(readFileSync(join(root, main), 'utf8')) ? main : undefined
}

async function runExample(script) {
  // A process group of its own shows whether the example's own processes outlive it.
  const child = spawn(process.execPath, ['--import', 'tsx', script], {
    cwd: root,
    detached: process.platform !== 'win32',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)))
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (status, signal) => resolve(status === 0 ? undefined : `ended with ${signal ?? status}`))
  })
  const limit = new AbortController()
  const late = pause(LIMIT_MS, `did not end within ${LIMIT_MS / 1000} s`, { signal: limit.signal }).catch(() => {})
  const fault = await Promise.race([ended, late])
  limit.abort()
  const left = child.pid === undefined ? false : await outlives(child.pid, fault === undefined ? GRACE_MS : 0)
  if (left) signalGroup(child.pid, 'SIGKILL')
  return { fault: fault ?? (left ? 'left a process behind' : undefined), output }
}

async function outlives(group, graceMs) {
  for (const end = performance.now() + graceMs; signalGroup(group, 0); await pause(50)) {
    if (performance.now() >= end) return true
  }
  return false
}

/** Whether anyone was there to take it. */
function signalGroup(group, signal) {
  try {
    return process.kill(process.platform === 'win32' ? group : -group, signal)
  } catch (error) {
    if (error.code === 'ESRCH') return false
    throw error
  }
}
