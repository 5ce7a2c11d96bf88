import { ActorumError } from '../../errors.js'

/** Of a directory that exists; of one that does not, Node says EACCES too. */
const NO_WRITING: readonly unknown[] = ['EACCES', 'EROFS']
const NO_ROOM: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'ENOMEM']

/** Why no socket could be made in a directory, as an error that says what to do. */
export function lockRefusal(directory: string, cause: unknown): ActorumError {
  const why = cause instanceof Error ? cause.message : String(cause)
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  const message = `The data directory ${directory} cannot be locked: ${why}. ${adviceFor(code)}.`
  return new ActorumError('STORAGE_FAILED', message, { cause })
}

/** Whether such a refusal is for good: its file system knows no sockets. */
export function takesNoSockets(refusal: unknown): boolean {
  const code = codeIn(refusal)
  return code !== undefined && !NO_WRITING.includes(code) && !NO_ROOM.includes(code)
}

/** Whether nothing can be written there. */
export function isOfReadOnly(refusal: unknown): boolean {
  return codeIn(refusal) === 'EROFS'
}

function codeIn(refusal: unknown): unknown {
  const cause = refusal instanceof ActorumError ? refusal.cause : undefined
  return cause instanceof Error && 'code' in cause ? cause.code : undefined
}

function adviceFor(code: unknown): string {
  if (NO_WRITING.includes(code)) return 'Let this process write there, or name another dataDir'
  if (NO_ROOM.includes(code))
    return 'Make room for one more file, also among the open ones, and start this server again'
  const lock = 'The lock of a log on segment files is a socket, and perhaps its file system takes none'
  return `${lock}: put it on a local disk, or start a new server there with logStore: 'level', which locks a file`
}
