import { statfsSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'

const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x5846_5342: 'xfs',
  0x9123_683e: 'btrfs',
  0x2fc1_2fc1: 'zfs',
  0x0102_1994: 'tmpfs',
  0x794c_7630: 'overlayfs',
  0x1a: 'apfs',
}

/** What a figure depends on. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly node: string
  readonly platform: string
  readonly dir: string
  readonly fileSystem: string
}

/** Seconds that the cores have worked, for anybody, since the machine was started. */
export function machineBusySeconds(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0) / 1000
}

export function describeMachine(dir: string): Machine {
  const { type } = statfsSync(dir)
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    dir,
    fileSystem: FILE_SYSTEMS[type] ?? `0x${type.toString(16)}`,
  }
}

export function machineLine({ cpu, cores, memoryGb, node, platform, dir, fileSystem }: Machine): string {
  return `${cpu}, ${cores} cores, ${memoryGb} GB; ${platform}; Node ${node}; data in ${dir} (${fileSystem})`
}
