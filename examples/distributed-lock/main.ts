// A worker holds a lock and is stopped in the midst of its work. When it goes on it may no longer write, and learns so.
// Ends by itself, and leaves no file behind.
import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { lock } from 'actorum'
import { chapter, cyan, green, line, milliseconds, red, strong, title } from '../story/terminal.js'
import { textOf, ThreeServers } from '../story/three-servers.js'
import type { WorkerNote } from './worker.js'

/** Longer than an election takes: while there is no leader nobody's keep-alive is answered. */
const TTL_MS = 4000

/** What a worker's process says next of this kind. */
function next<Type extends WorkerNote['type']>(
  worker: ChildProcess,
  type: Type,
): Promise<Extract<WorkerNote, { readonly type: Type }>> {
  return new Promise((resolve, reject) => {
    const hear = (note: WorkerNote): void => {
      if (note.type !== type) return
      worker.off('message', hear)
      resolve(note as Extract<WorkerNote, { readonly type: Type }>)
    }
    worker.on('message', hear)
    worker.once('exit', () => reject(new Error('the worker ended too soon')))
  })
}

title('A lock that is safe though its holder is stopped', 'two servers here, a third in the worker’s own process')
await using servers = await ThreeServers.prepare()
const worker = fork(fileURLToPath(new URL('./worker.ts', import.meta.url)), {
  execArgv: process.execArgv,
  env: { ...process.env, SERVER: JSON.stringify(servers.options[2]), TTL_MS: String(TTL_MS) },
})
try {
  const holding = next(worker, 'holds')
  const [first] = await servers.start(1, 2)
  if (first === undefined) throw new Error('a server was asked for')

  chapter('The worker takes the lock "account" and writes')
  const { token, pid } = await holding
  line(`process ${pid} holds it, under token ${cyan(String(token))}; balance is ${cyan('100')}`)

  chapter(`It is stopped: kill -STOP ${pid}`)
  const began = performance.now()
  worker.kill('SIGSTOP')
  const held = await lock(first.client, 'account', { ttlMs: TTL_MS })
  line(
    `${milliseconds(performance.now() - began)} later its time is over, and we hold the lock: token ${cyan(String(held.token))}`,
  )
  await held.guarded().put('account/balance', '250')
  line(`balance is ${cyan('250')}`)

  chapter(`It goes on: kill -CONT ${pid}, and wants to write what it had in mind`)
  const told = next(worker, 'refused')
  worker.kill('SIGCONT')
  const { code, isHeld } = await told
  line(`it believes that it holds the lock: ${isHeld ? red('yes') : green('no')}`)
  line(`its write was ${code === undefined ? red('made') : green(`refused with ${code}`)}`)
  const balance = await first.client.get('account/balance')
  line(strong(`balance is ${balance === undefined ? 'gone' : textOf(balance)}`))
  await held.release()
} finally {
  worker.kill('SIGKILL')
}
