import { restoreBackup } from '../../src/index.js'
import { SegmentFiles } from '../../src/storage/file/segment-files.js'

// Restores a backup, and is killed in the midst of it: when its log's first segment is to be made.

const [from, dataDir] = process.argv.slice(2)
if (from !== undefined && dataDir !== undefined) {
  SegmentFiles.prototype.make = () => {
    process.kill(process.pid, 'SIGKILL')
    return new Promise(() => undefined)
  }
  await restoreBackup({ from, dataDir })
}
