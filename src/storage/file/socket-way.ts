import { closeSync, constants, mkdtempSync, openSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { LockSystem } from './directory-lock.js'

/** The longest path that every system takes for a socket, in bytes. */
const SOCKET_PATH_BYTES_MAX = 103

/** A path to a directory, until it is closed. */
export interface Way {
  readonly path: string
  close(): void
}

/**
 * A way to `directory` that is short enough for the path of a socket `name` in it. Linux knows a directory by its
 * descriptor too; elsewhere a link in the temporary directory leads there. Throws what the operating system reports.
 */
export function wayTo(
  directory: string,
  name: string,
  { platform, temporaryDirectory }: Pick<LockSystem, 'platform' | 'temporaryDirectory'>,
): Way {
  const isShort = new TextEncoder().encode(join(directory, name)).length <= SOCKET_PATH_BYTES_MAX
  if (isShort) return { path: directory, close: () => undefined }
  if (platform === 'linux') {
    const descriptor = openSync(directory, constants.O_RDONLY)
    return { path: `/proc/self/fd/${descriptor}`, close: () => closeSync(descriptor) }
  }
  const folder = mkdtempSync(join(temporaryDirectory, 'actorum-'))
  const link = join(folder, 'to')
  symlinkSync(directory, link)
  return { path: link, close: () => rmSync(folder, { recursive: true, force: true }) }
}
