import { parseArgs } from 'node:util'
import type { ParseArgsConfig } from 'node:util'

type OptionTable = NonNullable<ParseArgsConfig['options']>

/**
 * A script's options, each with its default. `--help` prints the usage, or else lists them; one that is none of them ends
 * the script with status 2.
 */
export function readOptions<const Options extends OptionTable>(
  options: Options,
  usage = listOf(options),
): ReturnType<typeof parseArgs<{ readonly options: Options }>>['values'] {
  if (process.argv.slice(2).some((arg) => arg === '--help' || arg === '-h')) {
    console.log(usage)
    process.exit(0)
  }
  try {
    return parseArgs({ options }).values
  } catch (error) {
    return wrongOption(error instanceof Error ? error.message : String(error), usage)
  }
}

/** Ends the script before it has begun anything. */
export function wrongOption(text: string, usage?: string): never {
  console.error(usage === undefined ? text : `${text}\n${usage}`)
  process.exit(2)
}

function listOf(options: OptionTable): string {
  const lines = Object.entries(options).map(([name, option]) => {
    return typeof option.default === 'string' ? `  --${name} (default: ${option.default || 'all'})` : `  --${name}`
  })
  return ['Options, which docs/benchmarks.md and the head of the script explain:', ...lines].join('\n')
}
