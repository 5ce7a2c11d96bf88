import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { DIRECTED } from './directed.js'
import { HUNT_NAMES } from './hunts.js'
import { MUTANTS } from './index.js'
import { plant } from './mutant.js'

const sourceOf = (file: string) => readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8')

// Whether the simulator finds them is looked at by `npm run mutants`, which takes minutes.
describe('the planted bugs', () => {
  it('are many, each with a name of its own', () => {
    expect(MUTANTS.length).toBeGreaterThanOrEqual(120)
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length)
  })

  it('each break a law that is named, and every hunt has one to find', () => {
    for (const { name, laws } of MUTANTS) expect(laws, name).not.toHaveLength(0)
    expect(new Set(MUTANTS.map(({ hunt }) => hunt))).toEqual(new Set(HUNT_NAMES))
  })

  it.each(MUTANTS)('still have their place: a server that $name', (mutant) => {
    const source = sourceOf(mutant.file)
    expect(plant(source, mutant)).not.toBe(source)
  })

  it.each(Object.entries(DIRECTED))(
    'are what a directed simulation fails for: %s passes without one',
    (_, simulate) => {
      expect(simulate).not.toThrow()
    },
  )
})
