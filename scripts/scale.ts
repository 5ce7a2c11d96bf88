// Servers in processes of their own: 1 → 3 → 5 → 3 while clients write, then a restart of all, one by one.
import { readOptions, wrongOption } from '../bench/command-line.js'
import { GrowingCluster } from '../test/e2e/growing-cluster.js'
import { SteadyLoad } from '../test/e2e/steady-load.js'

const USAGE = `npm run scale -- [options]
  --clients N       clients that write all the while (default 16)
  --mode MODE       disk-first or mem-first (default disk-first)
  --store KIND      file or level (default file)`

const values = readOptions(
  {
    clients: { type: 'string', default: '16' },
    mode: { type: 'string', default: 'disk-first' },
    store: { type: 'string', default: 'file' },
  },
  USAGE,
)

function oneOf<Word extends string>(name: string, given: string, words: readonly Word[]): Word {
  const word = words.find((known) => known === given)
  return word ?? wrongOption(`--${name} is ${given}; it must be ${words.join(' or ')}`, USAGE)
}

async function step(
  name: string,
  cluster: GrowingCluster,
  load: SteadyLoad,
  act: () => Promise<unknown>,
): Promise<void> {
  const began = performance.now()
  await act()
  const tookMs = performance.now() - began
  const { acknowledged, retried, longestPauseMs, longestWriteMs } = await load.takePhase()
  const repeats = [...retried].map(([code, count]) => `${count} ${code}`).join(', ')
  console.log(
    `${name.padEnd(18)} ${tookMs.toFixed(0).padStart(6)} ms  ${String(acknowledged).padStart(6)} writes  ` +
      `longest pause ${longestPauseMs.toFixed(0)} ms, longest write ${longestWriteMs.toFixed(0)} ms, ` +
      `longest without a leader ${cluster.takeLeaderlessMs().toFixed(1)} ms; made again: ${repeats || 'none'}`,
  )
}

async function run(): Promise<void> {
  const clients = Number(values.clients)
  if (!Number.isInteger(clients) || clients < 1 || clients > 1000) {
    wrongOption(`--clients is ${values.clients}; it must be an integer from 1 to 1000`, USAGE)
  }
  const durability = oneOf('mode', values.mode, ['disk-first', 'mem-first'])
  const logStore = oneOf('store', values.store, ['file', 'level'])
  const cluster = await GrowingCluster.make({ durability, logStore })
  try {
    await cluster.grow([1])
    const load = new SteadyLoad(clients, cluster)
    await step('1 → 3', cluster, load, () => cluster.grow([2, 3]))
    await step('3 → 5', cluster, load, () => cluster.grow([4, 5]))
    await step('5 → 3, with leader', cluster, load, () => cluster.shrink(2))
    await step('rolling restart', cluster, load, () => cluster.restartAll())
    await load.stop()
    const lost = await load.countLost()
    console.log(lost === 0 ? '✓ no write failed, none is lost' : `✗ ${lost} acknowledged writes are lost`)
    if (lost > 0) process.exitCode = 1
  } finally {
    await cluster.dispose()
  }
}

await run()
