/** Starts the three nodes, writes through one and reads through another, kills the leader, and reads again. */
import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

const WAIT_MS = 30_000
const IDS = [1, 2, 3]
/** Below the ports that systems give to outgoing connections. Raft takes +1 to +3, HTTP +11 to +13. */
const base = await freeBase()
const directory = await mkdtemp(join(tmpdir(), 'actorum-three-nodes-'))
const env = { ...process.env, RAFT_PORT: String(base), HTTP_PORT: String(base + 10), DATA_DIR: directory }
const nodes = new Map<number, ChildProcess>(
  IDS.map((id) => [id, fork(new URL('./server.ts', import.meta.url), [String(id)], { env, stdio: 'inherit' })]),
)

try {
  const first = await leader(IDS)
  const followers = IDS.filter((id) => id !== first)
  const [one = 0, other = 0] = followers
  for (const id of followers) await until(`node ${id} is a healthy replica`, () => isOk(id, '/replica'))
  assert.equal((await ask(first, '/replica')).status, 503)

  const put = (await (await ask(one, '/kv/hello', { method: 'PUT', body: 'world' })).json()) as { revision: number }
  assert.ok(Number.isInteger(put.revision))
  assert.equal(await (await ask(other, '/kv/hello')).text(), 'world')
  assert.equal((await ask(other, '/kv/hello?consistency=sometimes')).status, 400)
  assert.equal((await ask(other, '/kv/nothing')).status, 404)
  assert.equal((await ask(other, '//')).status, 404)

  await kill(first)
  const next = await leader(followers)
  assert.notEqual(next, first)
  assert.equal(await (await ask(next, '/kv/hello')).text(), 'world')
  const deleted = (await (await ask(next, '/kv/hello', { method: 'DELETE' })).json()) as { deleted: boolean }
  assert.equal(deleted.deleted, true)
  assert.equal((await ask(next, '/kv/hello')).status, 404)
} finally {
  await Promise.all(IDS.map(kill))
  await rm(directory, { recursive: true, force: true, maxRetries: 5 })
}

async function leader(ids: readonly number[]): Promise<number> {
  let found: number | undefined
  await until('one of the nodes is the primary', async () => {
    const primary = await Promise.all(ids.map((id) => isOk(id, '/primary')))
    found = ids.find((_, at) => primary[at])
    return found !== undefined
  })
  return found ?? 0
}

function ask(id: number, path: string, init?: RequestInit): Promise<Response> {
  return fetch(`http://127.0.0.1:${base + 10 + id}${path}`, init)
}

async function isOk(id: number, path: string): Promise<boolean> {
  // A node that is not up yet answers nothing.
  const response = await ask(id, path).catch(() => undefined)
  return response?.ok === true
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + WAIT_MS; !(await condition()); await pause(25)) {
    assert.ok(performance.now() < end, `${what}, within ${WAIT_MS / 1000} seconds`)
  }
}

async function kill(id: number): Promise<void> {
  const node = nodes.get(id)
  if (node === undefined) return
  nodes.delete(id)
  const gone = once(node, 'exit')
  if (node.kill('SIGKILL')) await gone
}

async function freeBase(): Promise<number> {
  for (;;) {
    const candidate = 20_000 + Math.floor(Math.random() * 1190) * 10
    const free = await Promise.all([1, 2, 3, 11, 12, 13].map((offset) => isFree(candidate + offset)))
    if (free.every(Boolean)) return candidate
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)))
  })
}
