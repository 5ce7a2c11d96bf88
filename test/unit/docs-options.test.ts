import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { validateOptions } from '../../src/options.js'

const UNITS: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }
const page = readFileSync(fileURLToPath(new URL('../../docs/options.md', import.meta.url)), 'utf8')
const pageOfEngine = page.slice(0, page.indexOf('## Together'))
const rows = [...pageOfEngine.matchAll(/^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|/gm)].map(
  ([, name = '', fallback = '', allowed = '']) => ({ name, fallback, allowed }),
)
const defaults = new Map<string, unknown>(Object.entries(validateOptions({ dataDir: 'somewhere' })))
const numeric = rows.filter(({ name }) => typeof defaults.get(name) === 'number')
/** But for the one that may be negative, and a fraction. */
const counted = numeric.filter(({ name }) => name !== 'electionPriority')

describe('docs/options.md', () => {
  it('names every option, in the order of the source', () => {
    expect(rows.map(({ name }) => name)).toEqual([...defaults.keys()])
  })

  it.each(numeric)('gives the default of $name', ({ name, fallback }) => {
    expect(numberIn(fallback)).toBe(defaults.get(name))
  })

  it.each(counted)('gives the bounds of $name', ({ name, allowed }) => {
    const [min = NaN, max = NaN] = allowed.split(' to ').map(numberIn)
    for (const wrong of [min - 1, max + 1]) expect(refusalOf(name, wrong)).toContain(`an integer from ${min} to ${max}`)
  })

  it.each(rows.filter(({ name }) => isWord(defaults.get(name))))('gives the default of $name', ({ name, fallback }) => {
    expect(wordsIn(fallback)).toEqual([defaults.get(name)])
  })

  it.each(rows.filter(({ name }) => name === 'logStore' || isWord(defaults.get(name))))(
    'gives the words that $name takes',
    (row) => {
      const words = wordsIn(row.allowed).map((word) => `'${word}'`)
      expect(refusalOf(row.name, 'nonsense')).toContain(`it must be ${words.join(' or ')}`)
    },
  )
})

/** As the page writes numbers: 1,000 and 64 KiB and 2^32 − 1. */
function numberIn(text: string): number {
  const [, digits = '', power, unit, less] = /^([\d,]+)(?:\^(\d+))?(?: ([KMG]iB))?( − 1)?$/.exec(text.trim()) ?? []
  const base = digits === '' ? NaN : Number(digits.replaceAll(',', ''))
  return base ** Number(power ?? 1) * (unit === undefined ? 1 : (UNITS[unit] ?? NaN)) - (less === undefined ? 0 : 1)
}

/** Of the options without a number, those with a default among fixed words. */
function isWord(value: unknown): boolean {
  return ['disk-first', 'quorum', 'promotable'].some((word) => word === value)
}

function wordsIn(text: string): string[] {
  return text.match(/[\w-]+/g) ?? []
}

function refusalOf(name: string, value: unknown): string {
  try {
    validateOptions({ dataDir: 'somewhere', [name]: value })
  } catch (error) {
    return String(error)
  }
  return `${name}: ${String(value)} is taken`
}
