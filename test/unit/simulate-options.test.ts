import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, vi } from 'vitest'
import { parseOptions } from '../../scripts/simulate-options.js'

vi.setConfig({ testTimeout: 120_000 })

describe('the options of npm run simulate', () => {
  it('are what they say', () => {
    const text =
      '--from-seed 7 --minutes 0.5 --steps 0 --mode mem-first --coordination off --faults kill,slow\u00a0disk'
    const options = parseOptions(text.split(' ').map((word) => word.replace('\u00a0', ' ')))
    expect(options).toMatchObject({ help: false, fromSeed: 7, minutes: 0.5, seed: undefined, workers: undefined })
    expect(options.plan).toMatchObject({ steps: 0, durability: 'mem-first', coordination: false })
    expect(options.plan.kinds).toEqual(['kill', 'slow disk'])
    expect(options.samePlan).toEqual([
      '--steps 0',
      '--mode mem-first',
      '--coordination off',
      "--faults 'kill,slow disk'",
    ])
  })

  it('cut a run down to what a shrunk one has left', () => {
    const { seed, cut } = parseOptions(['--seed', '3', '--keep', '0,3, 4', '--until', '9.5', '--bankers', '0'])
    expect([seed, cut]).toEqual([3, { keep: [0, 3, 4], untilMs: 9.5, coordinating: { bankers: 0 } }])
    expect(parseOptions(['--seed', '3', '--keep', '']).cut.keep).toEqual([])
    expect(parseOptions([]).cut.keep).toBe(undefined)
  })

  it.each([
    ['--keep x', '--keep names x; it must be positions of faults'],
    ['--keep 1,-2', '--keep names -2; it must be positions of faults'],
    ['--keep 1.5', '--keep names 1.5; it must be positions of faults'],
    ['--clients 2', '--clients means nothing without --seed'],
    ['--seed 3 --minutes 2', '--minutes means nothing with --seed'],
    ['--seed -1', '--seed is -1; it must be an integer from 0 to 4294967295'],
    ['--seed 4294967296', '--seed is 4294967296; it must be an integer from 0 to 4294967295'],
    ['--minutes -.5', '--minutes is -.5; it must be a number from 0.01'],
    ['--servers 0', '--servers is 0; it must be an integer from 1 to 9'],
    ['--faults nope', '--faults names nope; known are: partition'],
    ['--faults kill,', "--faults names ''; known are: partition"],
    ['--mode foo', '--mode is foo; it must be disk-first or mem-first'],
    ['--coordination maybe', '--coordination is maybe; it must be on or off'],
    ['--bogus', "Unknown option '--bogus'"],
    ['--seed --bogus', "Option '--seed' argument is ambiguous"],
    ['4711', "Unexpected argument '4711'"],
  ])('%s is refused in one line', (text, words) => {
    let message = 'nothing'
    try {
      parseOptions(text.split(' '))
    } catch (error) {
      message = error instanceof Error ? error.message : 'no error'
    }
    expect(message).toContain(words)
    expect(message).not.toContain('\n')
  })
})

/** Runs the script, which is killed if it goes on for a minute. */
async function simulate(args: string, env: NodeJS.ProcessEnv = {}) {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const command = ['--import', 'tsx', 'scripts/simulate.ts', ...args.split(' ')]
  const child = spawn(process.execPath, command, { cwd: root, env: { ...process.env, ...env }, timeout: 60_000 })
  const said = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()))
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, ...said }
}

describe('npm run simulate', () => {
  it('ends with one line and status 1 when an option is wrong, and begins nothing', async () => {
    const { status, stdout, stderr } = await simulate('--faults nope')
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^--faults names nope; .* \(see npm run simulate -- --help\)\n$/)
  })

  it('refuses to keep a fault that the run does not have', async () => {
    const { status, stdout, stderr } = await simulate('--seed 1 --steps 2 --faults kill --keep 0,2')
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toContain('--keep names fault 2; this run has 2, counted from 0 (see')
  })

  it('ends with status 1 when a worker dies, says which, and lets no other one run on', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'actorum-simulate-'))
    // Of the workers, which alone have a parent to talk to, the first that gets here dies.
    const first = `fs.writeFileSync(${JSON.stringify(join(directory, 'first'))}, '', { flag: 'wx' })`
    const script = `import fs from 'node:fs'; if (process.send) { let d = true; try { ${first} } catch { d = false } if (d) process.exit(7) }`
    const preload = `--import=data:text/javascript,${encodeURIComponent(script)}`
    try {
      const { status, stdout, stderr } = await simulate('--from-seed 10 --minutes 30 --workers 2', {
        NODE_OPTIONS: preload,
      })
      expect(stderr).toMatch(/^✗ worker [12] \(process \d+\) ended with status 7 while it ran seed 1[01]\n$/)
      expect(status).toBe(1)
      expect(stdout).toMatch(/npm run simulate -- --seed 1[01]\n/)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
