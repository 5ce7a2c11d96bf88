import type { HuntName } from './hunts.js'

/** A deliberate bug, planted into a copy of the sources: the simulator must notice. */
export interface Mutant {
  /** What a server with this bug does. */
  readonly name: string
  /** Below src. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
  /** The runs in which it is looked for. */
  readonly hunt: HuntName
  /** How many of them are enough. */
  readonly runsMax: number
  /** The laws of which the first broken one is expected to be one, each by the words it begins with. */
  readonly laws: readonly string[]
}

/** The file with the bug in it. */
export function plant(source: string, { name, file, find, replace }: Mutant): string {
  const places = source.split(find).length - 1
  if (places !== 1) {
    throw new Error(
      `the mutant that ${name} looks for a text that is ${places} times in src/${file}; it must be there once: ${find}`,
    )
  }
  return source.replace(find, () => replace)
}
