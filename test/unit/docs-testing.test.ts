import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const textOf = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')

// There it is type-checked and linted; here it runs.
it('the state machine of docs/testing.md is test/unit/own-state-machine.ts, and passes', async () => {
  const [, example] =
    /^### Your own state machine$[\s\S]*?^```ts\n([\s\S]*?)^```$/m.exec(textOf('../../docs/testing.md')) ?? []
  expect(example).toBe(textOf('./own-state-machine.ts'))
  await import('./own-state-machine.js')
})
