// Installs the packages of package-lock.json, unless node_modules holds just
// those: a build with nothing new to install asks no network.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const locked = packages('package-lock.json');
const installed = packages('node_modules/.package-lock.json');

if (installed !== locked) {
  const npm = spawnSync('npm', ['ci'], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    stdio: 'inherit',
  });
  if (npm.error) {
    console.error(`${npm.error.message}: install npm (Debian's package npm, Homebrew's node)`);
  }
  process.exit(npm.status ?? 1);
}

/** What a lock file names, comparable; nothing where there is no such file. */
function packages(file) {
  let text;
  try {
    text = readFileSync(new URL(file, import.meta.url), 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return '';
    throw error;
  }
  return Object.entries(JSON.parse(text).packages)
    .filter(([path]) => path !== '') // the lock's own package, not installed
    .map(([path, { version, integrity }]) => `${path} ${version} ${integrity}`)
    .sort()
    .join('\n');
}
