import { run } from '@uait/kit';
import { loadConfig } from './config.js';
import { startEcho } from './index.js';

await run(() => startEcho(loadConfig(process.env)));
