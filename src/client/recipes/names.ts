import { ActorumError } from '../../errors.js'
import { shown } from '../../options.js'

/** What a recipe is for: the keys of each kind lie apart. */
export type RecipeKind = 'lock' | 'semaphore' | 'election' | 'barrier' | 'double-barrier' | 'counter' | 'service'

/**
 * Where a recipe of that name keeps its keys: `actorum/lock/orders`. A slash in a name becomes `%2F`, so that the keys of
 * `a/b` are not among those of `a`.
 * @throws ActorumError INVALID_ARGUMENT
 */
export function placeOf(kind: RecipeKind, name: string): string {
  return `actorum/${kind}/${partOfKey(kind, name)}`
}

/** @throws ActorumError INVALID_ARGUMENT */
export function partOfKey(what: string, name: string): string {
  if (typeof name !== 'string' || name === '') {
    throw new ActorumError(
      'INVALID_ARGUMENT',
      `the name of a ${what} is ${shown(name)}; give a string that is not empty`,
    )
  }
  try {
    return encodeURIComponent(name)
  } catch (cause) {
    const text = `the name of a ${what} has half a surrogate pair in it; give a string of whole characters`
    throw new ActorumError('INVALID_ARGUMENT', text, { cause })
  }
}

/** What `partOfKey` was made of, at the end of a key that begins with `prefix`. */
export function nameInKey(key: Uint8Array, prefix: string): string {
  return decodeURIComponent(textOf(key).slice(prefix.length))
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}
