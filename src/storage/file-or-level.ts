import { readdir } from 'node:fs/promises'
import { ActorumError } from '../errors.js'

/** The stores that keep a log in a directory. */
export type LogStoreKind = 'level' | 'file'

/** What each store's records are in, within its directory. */
export const LOG_FOLDERS: { readonly [Kind in LogStoreKind]: string } = { level: 'log', file: 'segments' }

/** Of a new directory, where nothing else is asked for. */
const KIND_OF_NEW: LogStoreKind = 'file'

/**
 * The kind of store for the log in `directory`: the one that made it, or, for a new one, the one asked for. Rejects with
 * INVALID_ARGUMENT when another kind than the one asked for has its log there, and with what the operating system
 * reports when it cannot be looked at: a log that was not seen would be begun anew.
 */
export async function kindFor(directory: string, asked: LogStoreKind | undefined): Promise<LogStoreKind> {
  const made = kindAmong(directory, await namesOf(directory))
  if (made === undefined) return asked ?? KIND_OF_NEW
  if (asked === undefined || asked === made) return made
  const advice = `start it with logStore: '${made}' or without that option, or give this server a data directory of its own`
  throw refusal(`The data directory ${directory} has a log of kind '${made}', not '${asked}': ${advice}.`)
}

/** The kind of log that is among the names in `directory`; undefined for none. Throws INVALID_ARGUMENT for both. */
export function kindAmong(directory: string, names: readonly string[]): LogStoreKind | undefined {
  const hasLevel = names.includes(LOG_FOLDERS.level)
  if (!names.includes(LOG_FOLDERS.file)) return hasLevel ? 'level' : undefined
  if (!hasLevel) return 'file'
  const advice = 'move away the one that is not of this server: emptied, it would forget what others count on'
  throw refusal(
    `The data directory ${directory} has two logs, in ${LOG_FOLDERS.level} and ${LOG_FOLDERS.file}: ${advice}.`,
  )
}

/** What a directory holds; nothing where there is none. Rejects with what the operating system reports. */
export async function namesOf(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}

function refusal(message: string): ActorumError {
  return new ActorumError('INVALID_ARGUMENT', message)
}
