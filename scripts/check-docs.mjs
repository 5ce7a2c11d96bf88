// Checks what the documentation names: relative links and their anchors, paths in code spans, and npm scripts.
// Prose drifts from code silently; this makes it loud.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const SKIPPED = new Set(['node_modules', 'dist', 'coverage', 'data', '.git'])
/** These tell of versions gone by, and may name what is no longer there. */
const HISTORIES = new Set(['CHANGELOG.md', 'UPGRADING.md'])
const FENCE = /^(`{3,}|~{3,})[^\n]*\n[\s\S]*?^\1[ \t]*$/gm
const PATH = /(?<![\w./@-])(?:src|test|scripts|bench|examples|docs)\/[\w./-]*\w/g

const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const faults = markdownFiles(root).flatMap((file) => {
  const text = readFileSync(file, 'utf8').replace(/<!--[\s\S]*?-->/g, '')
  const names = HISTORIES.has(relative(root, file)) ? [] : faultsOfNames(text)
  return [...faultsOfLinks(file, text), ...names].map((fault) => `${relative(root, file)}: ${fault}`)
})
for (const fault of faults) console.error(fault)
process.exitCode = faults.length === 0 ? 0 : 1

function markdownFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : markdownFiles(path)
    return entry.name.endsWith('.md') ? [path] : []
  })
}

function faultsOfLinks(file, text) {
  const prose = text.replace(FENCE, '').replace(/`[^`\n]*`/g, (span) => span.replace(/[[\]()]/g, ' '))
  const inline = prose.matchAll(/\]\(\s*<?([^()\s<>]+(?:\([^()\s]*\))?)>?(?:\s+"[^"]*")?\s*\)/g)
  const referenced = prose.matchAll(/^ {0,3}\[[^\]]+\]:\s+<?(\S+?)>?(?:\s|$)/gm)
  const targets = [...inline, ...referenced].map((match) => match[1])
  return targets.filter((target) => !/^[a-z][a-z0-9+.-]*:/i.test(target)).flatMap((target) => faultOfLink(file, target))
}

function faultOfLink(file, target) {
  const [path, anchor] = decodeURIComponent(target).split('#')
  const aimed = path === '' ? file : join(path.startsWith('/') ? root : dirname(file), path)
  if (!existsSync(aimed)) return [`links to ${target}, which is not there`]
  if (anchor === undefined || !aimed.endsWith('.md') || !statSync(aimed).isFile()) return []
  return anchorsOf(aimed).has(anchor) ? [] : [`links to ${target}, and there is no such heading`]
}

/** As GitHub makes them: lower case, punctuation dropped, blanks as hyphens, repeats numbered. */
function anchorsOf(file) {
  const text = readFileSync(file, 'utf8').replace(FENCE, '')
  const anchors = new Set([...text.matchAll(/<a\s+(?:id|name)="([^"]+)"/g)].map((match) => match[1]))
  const seen = new Map()
  for (const [, heading] of text.matchAll(/^#{1,6}[ \t]+(.+?)[ \t]*#*$/gm)) {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = plain.replace(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '').replaceAll(' ', '-')
    const repeats = seen.get(slug) ?? 0
    seen.set(slug, repeats + 1)
    anchors.add(repeats === 0 ? slug : `${slug}-${repeats}`)
  }
  return anchors
}

function faultsOfNames(text) {
  const fences = text.match(FENCE) ?? []
  const spans = text.replace(FENCE, '').match(/`[^`\n]+`/g) ?? []
  return [...fences, ...spans].flatMap((code) => [...faultsOfPaths(code), ...faultsOfScripts(code)])
}

function faultsOfPaths(code) {
  const pathsOfSource = [...code.matchAll(PATH)].filter(
    (match) => !/^[*{<…]/.test(code.slice(match.index + match[0].length)),
  )
  return pathsOfSource
    .map((match) => match[0])
    .filter((path) => !existsSync(join(root, path)) && !existsSync(join(root, `${path}.ts`)))
    .map((path) => `names ${path}, which is not there`)
}

function faultsOfScripts(code) {
  return [...code.matchAll(/\bnpm run (?:-s )?([\w:-]+)/g)]
    .filter(([, name]) => !(name in scripts))
    .map(([, name]) => `names the npm script ${name}, which package.json does not have`)
}
