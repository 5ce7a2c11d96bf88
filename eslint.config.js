import { defineConfig, globalIgnores } from 'eslint/config'
import tseslint from 'typescript-eslint'
import { importDirections, NODE_ONLY, PORTABLE } from './scripts/eslint-import-directions.mjs'

const screen = { max: 70, skipBlankLines: true, skipComments: true }
const bytes = 'This also runs in a browser: bytes are Uint8Array, and what is Node alone comes through ports.'
const time = 'Time is an input: it comes through the Clock port.'
const chance = 'Chance is an input: it comes through the Random port.'
const named = (message, names) => names.map((name) => ({ name, message }))
const property = (object, name, message) => ({ object, property: name, message })

const chainedCast = {
  selector: 'TSAsExpression > TSAsExpression > TSUnknownKeyword',
  message: 'A cast by way of unknown hides a mistake: validate, or give the value its type where it is made.',
}

export default defineConfig(
  globalIgnores(['dist/', 'coverage/', 'data/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      'no-restricted-syntax': ['error', chainedCast],
    },
  },
  {
    files: ['**/*.{ts,js,mjs}'],
    rules: {
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'max-lines': ['warn', { ...screen, max: 450 }],
      'max-lines-per-function': ['error', screen],
    },
  },
  {
    files: ['test/**'],
    rules: {
      'max-lines': 'off',
      'max-lines-per-function': 'off',
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    plugins: { house: { rules: { 'import-directions': importDirections } } },
    rules: {
      'house/import-directions': 'error',
      'no-console': 'error',
      // Opened at run time, so that importing the package loads no native code.
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          paths: named('Import it when a Level store is opened: await import.', ['level', 'classic-level']).map(
            typesAllowed,
          ),
        },
      ],
    },
  },
  {
    files: ['src/server/**', 'src/actors/clock.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['src/index.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'Program > :not(ExportNamedDeclaration[source], ExportAllDeclaration)',
          message: 'A list of re-exports, nothing else.',
        },
      ],
    },
  },
  {
    files: PORTABLE,
    ignores: NODE_ONLY,
    rules: {
      'no-restricted-globals': [
        'error',
        {
          checkGlobalObject: true,
          globals: [
            ...named(bytes, ['Buffer', 'process', 'require', '__dirname', '__filename']),
            ...named(time, [
              'setTimeout',
              'setInterval',
              'setImmediate',
              'clearTimeout',
              'clearInterval',
              'clearImmediate',
            ]),
            ...named(time, ['queueMicrotask', 'performance']),
            ...named(chance, ['crypto']),
          ],
        },
      ],
      'no-restricted-properties': [
        'error',
        property('Date', 'now', time),
        property('AbortSignal', 'timeout', time),
        property('Math', 'random', chance),
      ],
      'no-restricted-syntax': [
        'error',
        chainedCast,
        { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: time },
        { selector: 'CallExpression[callee.name="Date"]', message: time },
      ],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          paths: [
            { name: 'rxjs', importNames: timedOperators(), message: time },
            { name: 'rxjs/operators', message: "Import from 'rxjs', where lint sees what waits by a timer." },
          ],
        },
      ],
    },
  },
)

function typesAllowed(path) {
  return { ...path, allowTypeImports: true }
}

/** What waits by a timer of its own in RxJS. */
function timedOperators() {
  const operators = ['auditTime', 'bufferTime', 'debounceTime', 'delay', 'sampleTime', 'throttleTime', 'timeInterval']
  const sources = ['interval', 'timer', 'timeout', 'timestamp', 'windowTime']
  const schedulers = ['animationFrameScheduler', 'asapScheduler', 'asyncScheduler', 'queueScheduler']
  return [...operators, ...sources, ...schedulers]
}
