// Runs before `npm start`, `npm test` and the rest, so that each works on a fresh clone: installs what package-lock.json
// names when node_modules differs from it, and builds dist when it was not built from the sources that are here now.
// It runs before anything is installed, so it uses Node alone. It says one line when it does something, else nothing.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const stampFile = join(root, 'dist', '.built-from')

refuseOldNode()
if (!isInstalled()) install()
const sources = hashOfSources()
if (readIfThere(stampFile) !== sources) build(sources)

function refuseOldNode() {
  const required = readJson('package.json').engines.node.replace('>=', '')
  const [major, minor] = process.versions.node.split('.').map(Number)
  const [majorMin, minorMin] = required.split('.').map(Number)
  if (major > majorMin || (major === majorMin && minor >= minorMin)) return
  fail(`Actorum needs Node ${required} or newer, and this is Node ${process.versions.node}: please update Node.`)
}

// npm writes node_modules/.package-lock.json at the end of an install, naming what it put there; packages for other
// platforms are left out, and only these.
function isInstalled() {
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) return false
  const wanted = readJson('package-lock.json').packages
  const present = readJson('node_modules/.package-lock.json').packages
  return Object.entries(wanted).every(([path, wish]) => {
    const found = present[path]
    if (path === '') return true
    if (found === undefined) return wish.optional === true || wish.devOptional === true
    return found.version === wish.version && found.integrity === wish.integrity
  })
}

function install() {
  console.error('Installing dependencies (once)…')
  // Under `npm start`, npm says where it is; that one needs no shell to be found, on Windows neither.
  const npm = process.env.npm_execpath
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']
  const ran =
    npm !== undefined && npm.endsWith('npm-cli.js')
      ? run(process.execPath, [npm, ...args])
      : run('npm', args, { shell: process.platform === 'win32' })
  if (ran.failed) fail(`${ran.output}\nInstalling failed: see npm's words above, and try \`npm ci\`.`)
}

function build(stamp) {
  console.error('Building…')
  // Beside the old one, which is used until the new one is whole; and outputs of sources that are gone do not linger.
  const fresh = join(root, `.dist-${process.pid}`)
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const ran = run(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--outDir', fresh])
  if (ran.failed) {
    rmSync(fresh, { recursive: true, force: true })
    fail(`${ran.output}\nThe build failed: see the compiler's words above.`)
  }
  writeFileSync(join(fresh, '.built-from'), stamp)
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  renameSync(fresh, join(root, 'dist'))
}

function hashOfSources() {
  const hash = createHash('sha256')
  const files = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  for (const name of ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json']) {
    files.push(join(root, name))
  }
  for (const file of files) {
    const content = readFileSync(file)
    hash.update(`${file.slice(root.length).split(sep).join('/')} ${content.length}\n`).update(content)
  }
  return hash.digest('hex')
}

function run(command, args, options = {}) {
  const ran = spawnSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options })
  const output = `${ran.stdout ?? ''}${ran.stderr ?? ''}${ran.error ? ran.error.message : ''}`.trim()
  return { failed: ran.status !== 0, output }
}

function readJson(path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8'))
}

function readIfThere(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

function fail(words) {
  console.error(words)
  process.exit(1)
}
