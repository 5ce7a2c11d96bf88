import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const textOf = (path: string) => readFileSync(new URL(`../../src/${path}`, import.meta.url), 'utf8')

const PORTS = ['state-machines/ports.ts', 'transport/ports.ts', 'storage/ports.ts']
const exported = new Set(textOf('testing/index.ts').match(/\w+/g))

/** Types that a file makes known, and those that it takes from others to do so. */
function namesIn(text: string): string[] {
  const own = [...text.matchAll(/^export (?:interface|type) (\w+)/gm)].map(([, name = '']) => name)
  const taken = [...text.matchAll(/^import type \{([^}]*)\}/gm)].flatMap(([, names = '']) => names.match(/\w+/g) ?? [])
  return [...own, ...taken]
}

it.each(PORTS)('actorum/testing exports all that an implementation of %s must name', (path) => {
  const names = namesIn(textOf(path))
  expect(names).not.toEqual([])
  expect(names.filter((name) => !exported.has(name))).toEqual([])
})
