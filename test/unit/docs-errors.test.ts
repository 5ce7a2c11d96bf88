import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const textOf = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8')

it('docs/errors.md says of every error code, in the order of the source, what happened and what to do', () => {
  const codes = [...textOf('src/errors.ts').matchAll(/^ {2}\| '(\w+)'$/gm)].map(([, code]) => code)
  const documented = [...textOf('docs/errors.md').matchAll(/^\| `(\w+)` \| [^|]+ \| [^|]+ \|$/gm)].map(
    ([, code]) => code,
  )
  expect(codes.length).toBeGreaterThan(0)
  expect(documented).toEqual(codes)
})
