/** What LevelDB sorts its records into. It makes them only where there is a CURRENT already. */
const TABLE = /\.(ldb|sst)$/
/** Of a table alone: on any other file it means that the file system cannot do what was asked. Windows says no more. */
const CUT_SHORT = /\.(ldb|sst)(: Invalid argument)?$/
const MISSING = ['No such file or directory', 'The system cannot find the file specified']
const LOST_TABLE = new RegExp(`\\.(ldb|sst): ${anyOf(MISSING)}`)
const UNTRUE_NAMES = [
  'Not a directory',
  'Is a directory',
  'File name too long',
  'Illegal byte sequence',
  'The system cannot find the path specified',
  'The filename, directory name, or volume label syntax is incorrect',
]
/** There is no such file, or can be none: CURRENT names another one than it did, or what it names is gone. */
const ASTRAY = new RegExp(`: ${anyOf([...MISSING, ...UNTRUE_NAMES])}`)
/** What it gives no code: an order of keys that is not ours, or that there is no CURRENT. */
const REFUSED = /^Invalid argument: /

/** Whether there are tables among LevelDB's files. Where no CURRENT is with them, it would begin anew and remove them. */
export function hasTables(names: readonly string[]): boolean {
  return names.some((name) => TABLE.test(name))
}

/**
 * Whether LevelDB, once open, says that its files are not what it wrote. For a flipped bit it has a word of its own. Of
 * a file that is cut short or gone it repeats what the system says, as it does when a disk is full, which is no damage.
 */
export function isDamage(error: Error): boolean {
  return (
    codeOf(error) === 'LEVEL_CORRUPTION' ||
    (codeOf(error) === 'LEVEL_IO_ERROR' && (CUT_SHORT.test(error.message) || LOST_TABLE.test(error.message)))
  )
}

/**
 * The same of a database that cannot be opened, in a folder with these names: what is wrong, or undefined. What is not
 * there where none was begun is not lost. Once it is open, only tables are read, and of other files it says that they
 * cannot be made.
 */
export function damageAtOpen(error: Error, names: readonly string[]): string | undefined {
  const isOurs = names.includes('CURRENT')
  const isRefused = codeOf(error) === undefined && REFUSED.test(error.message)
  if (!isOurs && hasTables(names) && isRefused) return 'LevelDB has lost its file CURRENT'
  const isAstray = codeOf(error) === 'LEVEL_IO_ERROR' && ASTRAY.test(error.message)
  return isDamage(error) || (isOurs && (isRefused || isAstray)) ? saidBy(error) : undefined
}

export function saidBy(error: Error): string {
  return `LevelDB reports ${error.message}`
}

function anyOf(reasons: readonly string[]): string {
  return `(${reasons.join('|')})\\.?\\s*$`
}

function codeOf(error: Error): unknown {
  return 'code' in error ? error.code : undefined
}
