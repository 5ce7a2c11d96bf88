import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ActorumError } from '../errors.js'

/** The stores that keep a log in a directory. */
export type LogStoreKind = 'level' | 'file'

/** What each store's files are in. */
const FOLDERS: { readonly [Kind in LogStoreKind]: string } = { level: 'log', file: 'segments' }

/** Rejects with INVALID_ARGUMENT when the other kind of store has its log in `directory`. */
export async function refuseOtherKind(directory: string, kind: LogStoreKind): Promise<void> {
  const other = kind === 'level' ? 'file' : 'level'
  if (!(await isThere(join(directory, FOLDERS[other])))) return
  const advice = `start it with logStore: '${other}', or give this server a data directory of its own`
  throw new ActorumError('INVALID_ARGUMENT', `The data directory ${directory} has a log of kind '${other}': ${advice}.`)
}

/** What else may be wrong with the directory, opening it will tell. */
function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
