// Reads vitest's JSON report and prints `N passed, N failed`. A test file that could not be loaded counts as one failure,
// and so does a report that says the run failed without saying where.
import { existsSync, readFileSync } from 'node:fs'

const path = process.argv[2]
const report = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
const passed = report?.numPassedTests ?? 0
const failed = report === undefined ? 1 : failures(report)
console.log(`${passed} passed, ${failed} failed`)

function failures({ numFailedTests, testResults, success }) {
  const unloaded = testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  )
  const count = numFailedTests + unloaded.length
  return count === 0 && !success ? 1 : count
}
