import type { Cluster } from './cluster.js'
import type { ServerProcess } from './server-process.js'
import { chapter, cyan, dim, green, line, milliseconds, red, strong, title } from './terminal.js'

const MOTTO = 'a majority is enough'

interface Leader {
  readonly id: number
  readonly term: number
}

export async function tell(cluster: Cluster): Promise<void> {
  title('Actorum', 'Three servers keep one log: each a process of its own, with a disk of its own.')
  await startServers(cluster)
  const first = await electLeader(cluster)
  await write(cluster, first)
  const second = await killLeader(cluster, first)
  await read(cluster, second)
  await goOn(cluster, second)
  await comeBack(cluster, first.id)
  console.log(
    `\n  ${strong('No acknowledged write was lost.')} ${dim('The servers and their files are being removed.')}\n`,
  )
}

async function startServers(cluster: Cluster): Promise<void> {
  chapter('Three servers start')
  await cluster.start()
  for (const { options, pid } of cluster.servers) line(`server ${options.id}   ${options.listen}   process ${pid}`)
}

async function electLeader(cluster: Cluster): Promise<Leader> {
  chapter('They elect a leader')
  const leader = await cluster.until('the three servers did not agree on a leader', () => agreedLeader(cluster, 0))
  line(`server ${leader.id} leads in term ${leader.term}`)
  showRoles(cluster)
  return leader
}

async function write(cluster: Cluster, leader: Leader): Promise<void> {
  chapter('A client writes')
  const { id } = follower(cluster, leader).options
  line(`put ${cyan('hello')} → ${cyan('world')}   at server ${id}, which hands it to its leader`)
  const { revision, ms } = await cluster.server(id).ask('put', { key: 'hello', value: 'world' })
  line(`written as revision ${revision} in ${milliseconds(ms)}, on the disks of a majority`)
}

async function killLeader(cluster: Cluster, leader: Leader): Promise<Leader> {
  chapter('The leader is killed')
  const server = cluster.server(leader.id)
  const from = performance.now()
  const killed = server.kill()
  line(`${red(`kill -9 ${server.pid}`)}   server ${leader.id} is gone without a word`)
  await killed
  const next = await cluster.until('the two that remain elected no leader', () => agreedLeader(cluster, leader.term))
  line(`server ${next.id} leads in term ${next.term}, ${strong(milliseconds(next.seenAt - from))} later`)
  showRoles(cluster)
  return next
}

async function read(cluster: Cluster, leader: Leader): Promise<void> {
  chapter('Is the write still there?')
  const { id } = follower(cluster, leader).options
  line(`get ${cyan('hello')}   at server ${id}, linearizable: the new leader asks a majority first`)
  const { value, ms } = await get(cluster.server(id), 'hello', 'world')
  line(`${strong('Retrieved:')} ${green(value)}   in ${milliseconds(ms)}`)
}

async function goOn(cluster: Cluster, leader: Leader): Promise<void> {
  chapter('Two of three go on')
  const { revision, ms } = await cluster.server(leader.id).ask('put', { key: 'motto', value: MOTTO })
  line(`put ${cyan('motto')} → ${cyan(MOTTO)}   revision ${revision}, ${milliseconds(ms)}`)
}

async function comeBack(cluster: Cluster, id: number): Promise<void> {
  chapter(`Server ${id} comes back, on the disk it left`)
  await cluster.restart(id)
  await cluster.until('the three servers did not agree on a leader', () => agreedLeader(cluster, 0))
  line(`process ${cluster.server(id).pid} has caught up with what it missed:`)
  line(dim('server   role       term   applied   motto'))
  for (const server of cluster.servers) {
    await get(server, 'hello', 'world')
    const { value } = await get(server, 'motto', MOTTO)
    const { role, term, lastApplied } = await server.ask('look', undefined)
    const cells = [
      String(server.options.id).padEnd(6),
      role.padEnd(8),
      String(term).padEnd(4),
      String(lastApplied).padEnd(7),
    ]
    line(`${cells.join('   ')}   ${cyan(value)}`)
  }
}

/** Linearizable: answered once this server has applied all that was ever acknowledged. */
async function get(server: ServerProcess, key: string, expected: string): Promise<{ value: string; ms: number }> {
  const { value, ms } = await server.ask('get', { key })
  if (value === expected) return { value, ms }
  throw new Error(`server ${server.options.id} returned ${String(value)} for ${key}, and not ${expected}`)
}

/** The leader of a term after `term` whom every running server follows, and when that was seen. */
function agreedLeader(cluster: Cluster, after: number): (Leader & { readonly seenAt: number }) | undefined {
  const views = cluster.servers.filter(({ isRunning }) => isRunning).map(({ view }) => view)
  const [first] = views
  if (first?.leaderId === undefined || first.term <= after) return undefined
  const { term, leaderId } = first
  const isAgreed = views.every((view) => view?.term === term && view.leaderId === leaderId)
  return isAgreed ? { id: leaderId, term, seenAt: performance.now() } : undefined
}

function follower(cluster: Cluster, leader: Leader): ServerProcess {
  const found = cluster.servers.find(({ isRunning, options }) => isRunning && options.id !== leader.id)
  if (found === undefined) throw new Error('no follower is left')
  return found
}

function showRoles(cluster: Cluster): void {
  const roles = cluster.servers.map(({ options, isRunning, view }) => {
    if (!isRunning) return red(`${options.id} ✕ killed`)
    return view?.role === 'leader' ? green(`${options.id} ● leader`) : `${options.id} ○ ${view?.role}`
  })
  line(roles.join('     '))
}
