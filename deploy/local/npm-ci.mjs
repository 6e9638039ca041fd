// Runs `npm ci` in ts/ when node_modules is not what package-lock.json says; otherwise takes some milliseconds.
// Plain JavaScript without imports from npm: it runs before anything is installed.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../ts/", import.meta.url));

/** @returns {boolean} whether each locked package is installed at its locked version */
function isCurrent() {
  const wanted = packagesIn(`${folder}package-lock.json`);
  let found;
  try {
    found = packagesIn(`${folder}node_modules/.package-lock.json`);
  } catch {
    return false;
  }
  for (const [path, entry] of Object.entries(wanted)) {
    if (!path.startsWith("node_modules/")) continue;
    // Optional packages are those of other platforms.
    if (found[path] === undefined ? !entry.optional && !entry.peer : found[path].version !== entry.version) return false;
  }
  return true;
}

/** @returns {Record<string, {version?: string, optional?: boolean, peer?: boolean}>} */
function packagesIn(file) {
  return JSON.parse(readFileSync(file, "utf8")).packages;
}

if (!isCurrent()) {
  console.log("  npm ci ...");
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: folder, stdio: "inherit" });
  if (status !== 0) fail("npm ci failed", "see what npm says above: a full disk shows as ENOSPC, a wrong checksum as EINTEGRITY");
  if (!isCurrent()) fail("what npm installed is not what ts/package-lock.json says", "rm -r ts/node_modules, then try again");
}

function fail(message, remedy) {
  console.error(`\nerror: ${message}\nwhat to do: ${remedy}`);
  process.exit(1);
}
