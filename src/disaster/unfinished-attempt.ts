import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UNFINISHED } from '../engine-parts.js'
import { namesIn, PARTS } from './data-directory.js'

const [LOG, SNAPSHOTS] = PARTS

/**
 * What to do where an attempt to force a new cluster was cut short; undefined where none was. How far it came can be
 * told by what is where: the former parts move away first, then the new ones get their places, the log before the
 * snapshots.
 */
export async function adviceFor(dataDir: string): Promise<string | undefined> {
  const names = await namesIn(dataDir)
  if (!names.includes(UNFINISHED)) return undefined
  const folder = join(dataDir, UNFINISHED)
  const left = await namesIn(folder)
  const missing = PARTS.filter((part) => !names.includes(part))
  if (missing.length === 0 && left.length > 0) return `delete the folder ${folder}, and call again`
  if (missing.length === 0) {
    return `delete the folder ${folder}, which is empty; verifyDataDir then says of which cluster ${dataDir} is`
  }
  // The log that has its place is the new one only if it is no longer here: somebody may have moved a former one back.
  if (!missing.includes(LOG) && !left.includes(LOG) && left.includes(SNAPSHOTS)) {
    return `move ${SNAPSHOTS} from ${folder} to ${dataDir}, then delete ${folder}: the new cluster is made`
  }
  const former = await newestWith(missing, dataDir, names)
  if (former === undefined) return 'if it was a restore, call restoreBackup again'
  return `move ${missing.join(' and ')} from ${former} to ${dataDir}, then delete the folder ${folder}, and call again`
}

/** Those of earlier attempts are there too, until somebody removes them; but the one that holds what is missing and no more is of this. */
async function newestWith(
  parts: readonly (typeof PARTS)[number][],
  dataDir: string,
  names: readonly string[],
): Promise<string | undefined> {
  const found: { readonly path: string; readonly isExact: boolean; readonly mtimeMs: number }[] = []
  for (const path of names.filter((name) => name.startsWith('former-')).map((name) => join(dataDir, name))) {
    const { mtimeMs } = await stat(path)
    const held: readonly string[] = await namesIn(path).catch(() => [])
    if (parts.every((part) => held.includes(part))) found.push({ path, isExact: held.length === parts.length, mtimeMs })
  }
  found.sort((one, other) => Number(other.isExact) - Number(one.isExact) || other.mtimeMs - one.mtimeMs)
  return found[0]?.path
}
