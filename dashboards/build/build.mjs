// Writes the Grafana dashboards that ship with an Observatory:
//
//	node build.mjs            # into dashboards/grafana
//	node build.mjs FOLDER
//
// `make dashboards` installs what this needs, then runs it.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { overview } from './overview.mjs';

const shipped = fileURLToPath(new URL('../grafana', import.meta.url));
const folder = process.argv[2] ?? shipped;

for (const dashboard of [overview()]) {
  writeFileSync(join(folder, `${dashboard.uid}.json`), `${JSON.stringify(dashboard, null, 2)}\n`);
}
