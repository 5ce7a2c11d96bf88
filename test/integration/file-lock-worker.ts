import { DirectoryLock } from '../../src/storage/file/directory-lock.js'

// Takes the lock on the directory that it is given, says whether it has it, and stays until it is killed.

const [directory] = process.argv.slice(2)
if (directory !== undefined) {
  const lock = await DirectoryLock.take(directory, `${process.pid}`)
  process.stdout.write(lock === undefined ? 'refused\n' : 'taken\n')
  process.stdin.resume()
}
