import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

export default defineConfig({
  resolve: {
    // Tests name the public entries as users do, and get the sources rather than the last build.
    alias: [
      { find: /^actorum$/, replacement: source('index.ts') },
      { find: /^actorum\/(machines|client|testing)$/, replacement: source('$1/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/generated-cases.ts'],
    // A process for each file: a native store that is torn down badly takes only its own file with it.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 5_000,
  },
})
