// Two of three disks are lost for good: a new cluster from the survivor, and another one from a backup.
// Ends by itself, and leaves no file behind.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedEngine, forceNewCluster, restoreBackup, verifyDataDir } from 'actorum'
import { freePorts } from '../story/free-ports.js'
import { chapter, line, title } from '../story/terminal.js'

const directory = await mkdtemp(join(tmpdir(), 'actorum-disaster-'))
const members = (await freePorts(3)).map((port, at) => ({ id: at + 1, address: `127.0.0.1:${port}` }))
const [one = { id: 1, address: '' }] = members
const engines: EmbeddedEngine[] = []

function dataDir(id: number): string {
  return join(directory, `server-${id}`)
}

async function start(options: Parameters<typeof EmbeddedEngine.start>[0]): Promise<EmbeddedEngine> {
  const engine = await EmbeddedEngine.start({ log: () => undefined, ...options })
  engines.push(engine)
  return engine
}

async function read(engine: EmbeddedEngine, key: string): Promise<string> {
  const value = await engine.client.get(key)
  return value === undefined ? 'not there' : new TextDecoder().decode(value)
}

async function writeAndBackUp(backup: string): Promise<void> {
  const three = await Promise.all(
    members.map(({ id, address }) => start({ id, dataDir: dataDir(id), listen: address, members })),
  )
  await Promise.all(three.map((engine) => engine.ready()))
  const [first] = three
  await first?.client.put('monday', 'written')
  const { index, byteLength } = (await first?.backup(backup)) ?? {}
  line(`a backup of ${byteLength} bytes covers entry ${index}`)
  await first?.client.put('tuesday', 'written')
  await Promise.all(three.map((engine) => engine.stop()))
}

async function forceFromSurvivor(): Promise<void> {
  const report = await verifyDataDir(dataDir(1))
  line(`the survivor's directory is ${report.ok ? 'sound' : 'damaged'}, up to entry ${report.lastIndex}`)
  const forced = await forceNewCluster({
    dataDir: dataDir(1),
    id: 1,
    listen: one.address,
    log: ({ message }) => line(message),
    iUnderstandThatWritesMayBeLost: true,
  })
  line(`what was there before is kept in ${forced.keptIn.slice(directory.length + 1)}`)
  const survivor = await start({ id: 1, dataDir: dataDir(1), listen: one.address, promotionAfterMs: 0 })
  await survivor.ready()
  line(`monday: ${await read(survivor, 'monday')}, tuesday: ${await read(survivor, 'tuesday')}`)
  const [, , third] = members
  const joined = await start({ id: 4, dataDir: dataDir(4), listen: third?.address, join: [one.address] })
  await joined.ready({ timeoutMs: 20_000 })
  line(`server 4, with an id of its own, has joined: ${joined.members().length} members`)
}

async function restoreElsewhere(backup: string): Promise<void> {
  const { index, revision: begin, clusterId } = await restoreBackup({ from: backup, dataDir: dataDir(9), id: 9 })
  line(`cluster ${clusterId.slice(0, 8)}… has entries up to ${index}, and begins at revision ${begin}`)
  const restored = await start({ id: 9, dataDir: dataDir(9) })
  await restored.ready()
  line(`monday: ${await read(restored, 'monday')}, tuesday: ${await read(restored, 'tuesday')}`)
  const { revision } = await restored.client.put('wednesday', 'written')
  line(`the next write has revision ${revision}, far beyond any that was lost`)
}

try {
  const backup = join(directory, 'monday.backup')
  title('Disaster recovery', 'two of three disks are lost for good')
  chapter('Three servers, and a backup in between')
  await writeAndBackUp(backup)
  chapter('Two disks are gone: the third server alone can neither write nor elect')
  for (const id of [2, 3]) await rm(dataDir(id), { recursive: true })
  const alone = await start({ id: 1, dataDir: dataDir(1), listen: one.address })
  const refusal = await alone.ready({ timeoutMs: 1500 }).then(
    () => 'ready',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
  line(refusal)
  await alone.stop()
  chapter('The survivor is forced to be a cluster by itself')
  await forceFromSurvivor()
  chapter('And what would the backup have given?')
  await restoreElsewhere(backup)
} finally {
  await Promise.all(engines.map((engine) => engine.stop()))
  await rm(directory, { recursive: true, force: true })
}
