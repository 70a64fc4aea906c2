'use strict';
// The dashboard in headless Chromium. usage: node check.js LARDER_BINARY FOLDER_FOR_SCREENSHOTS [PICTURE]
// With PICTURE nothing is checked: it plays 5 minutes of traffic and writes the picture that deploy/README.md shows.
// node finds playwright-core through NODE_PATH, which tests/dashboard/run sets.

const { chromium } = require('playwright-core');
const { Backend, Larder, play, stroll, PATIENCE_MS } = require('./stage.js');

const [binary, folder, picture] = process.argv.slice(2);
const INTERVAL = 200;  // ms between two looks of the page: minutes of traffic in seconds

let held = 0, failed = 0, title = '';
function begin(what) {
  title = what;
}
function hold(what, found, wanted) {
  if (JSON.stringify(found) === JSON.stringify(wanted)) {
    held += 1;
    return;
  }
  failed += 1;
  console.log(`FAILED: ${title}\n    ${what}\n    found  ${JSON.stringify(found)}\n    wanted ${JSON.stringify(wanted)}`);
}

/// Waits until `look` gives what is wanted: the page shows what was so at its last look.
async function await_shown(what, look, wanted) {
  const end = Date.now() + PATIENCE_MS;
  let found;
  do {
    found = await look();
    if (JSON.stringify(found) === JSON.stringify(wanted)) break;
    await new Promise(resolve => setTimeout(resolve, INTERVAL / 4));
  } while (Date.now() < end);
  hold(what, found, wanted);
}

const grouped = new Intl.NumberFormat('en-US');
const count = n => grouped.format(n);
const percent = (part, all) => {
  const share = 100 * part / all;
  return share === 0 || share === 100 ? `${share} %` : `${Math.min(99.9, Math.max(0.1, share)).toFixed(1)} %`;
};

/// A page on the dashboard, with everything that it asks for and complains about.
async function open(browser, larder, options = {}, query = `?interval=${INTERVAL}`, prepare = async () => {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const seen = { origins: new Set(), complaints: [] };
  page.on('request', request => {
    if (!request.url().startsWith('data:')) seen.origins.add(new URL(request.url()).origin);
  });
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) seen.complaints.push(message.text());
  });
  page.on('pageerror', error => seen.complaints.push(error.stack));
  await prepare(page);
  await page.goto(`${larder.admin}/${query}`);
  const text = async selector => (await page.locator(selector).innerText()).trim();
  const rule = name => page.locator(`#rules tr[data-rule="${name}"]:not(.more)`);
  return { page, seen, text, rule, close: () => context.close() };
}
const cell = async (row, label) => (await row.locator(`td[data-label="${label}"]`).innerText()).trim();
const shot = (view, name, fullPage = true) => view.page.screenshot({ path: `${folder}/${name}.png`, fullPage });

async function check_nothing_yet(browser, larder) {
  begin('without traffic the page says what to do');
  const view = await open(browser, larder);
  await await_shown('state', () => view.text('#state'), 'Live');
  hold('the command', await view.text('#start-command'), `curl -i http://127.0.0.1:${larder.port}/api/events`);
  hold('hit rate', await view.text('#hit-rate'), '–');
  hold('a rule without requests', (await cell(view.rule('event'), 'Top reason for not hitting')), 'no requests yet');
  await shot(view, 'no-traffic');
  hold('complaints', view.seen.complaints, []);
  await view.close();
}

async function check_numbers(larder, view) {
  begin('the numbers on the page are those of the metrics');
  const metric = await larder.metrics();
  const requests = metric('larder_requests_total'), writes = metric('larder_forwards_total', 'reason="method"');
  const hits = metric('larder_requests_total', 'verdict="hit"') + metric('larder_requests_total', 'verdict="stale-hit"');
  const unfetched = requests - metric('larder_upstream_requests_total');
  await await_shown('requests', () => view.text('#requests'), count(requests));
  hold('hit rate', await view.text('#hit-rate'), percent(hits, requests - writes));
  hold('hits', await view.text('#hit-under'), `${count(hits)} of ${count(requests - writes)} reads from the cache`);
  hold('backend load', await view.text('#load'), percent(unfetched, requests));
  hold('without a fetch', await view.text('#load-under'), `${count(unfetched)} of ${count(requests)} requests needed no fetch`);
  hold('5xx', await view.text('#requests-errors'), `${count(metric('larder_responses_total', 'class="5xx"'))} answers were 5xx`);
  hold('start panel', await view.page.locator('#start').isVisible(), false);

  for (const name of ['event', 'event-list', 'profile', 'banner', 'quiet', 'none']) {
    const rule = `rule="${name}"`, row = view.rule(name);
    const all = metric('larder_requests_total', rule), rest = all - metric('larder_forwards_total', rule, 'reason="method"');
    const from_cache = metric('larder_requests_total', rule, 'verdict="hit"') + metric('larder_requests_total', rule, 'verdict="stale-hit"');
    hold(`requests of ${name}`, await cell(row, 'Requests'), count(all));
    hold(`hit rate of ${name}`, await cell(row, 'Hit rate'), rest > 0 ? percent(from_cache, rest) : '–');
    hold(`voided of ${name}`, await cell(row, 'Voided'), count(metric('larder_forwards_total', rule, 'reason="purged"')));
    const saved = await cell(row, 'Time saved');
    hold(`time saved of ${name}: ${saved}`, saved === '–', metric('larder_backend_seconds_saved_total') === 0);
  }
  const panels = await Promise.all(['#store', '#backend', '#purging'].map(view.text));
  const says = (panel, line) => hold(line, panel.replace(/\s*\n\s*/g, ' ').includes(line), true);
  says(panels[0], `Entries in memory ${count(metric('larder_memory_entries'))}`);
  says(panels[1], `Requests sent ${count(metric('larder_upstream_requests_total'))}`);
  says(panels[2], `By writes ${count(metric('larder_purges_total', 'source="write"'))}`);
  says(panels[2], `By hand ${count(metric('larder_purges_total', 'source="admin"'))}`);
}

async function check_reasons(view) {
  begin('a rule that misses says why, and which switch changes it');
  const reason = name => cell(view.rule(name), 'Top reason for not hitting');
  hold('a cookie', (await reason('profile')).split(/\s*\n\s*/),
       ['cookie 100 % of reads', 'the request has Cookie and the key names nobody', 'put {cookie.NAME} into the key, or shared: true']);
  hold('an answer that is not stored', (await reason('banner')).includes('set-cookie') && (await reason('banner')).includes('strip_set_cookie: true'), true);
  hold('no rule', (await reason('none')).includes('add a rule'), true);

  await view.rule('event').getByRole('button').click();
  const details = await view.page.locator('#rules tr.more[data-rule="event"]').innerText();
  for (const word of ['event:{id}', '30m', 'larder.yaml:', 'uri-miss', 'nothing is stored under this key'])
    hold(`the details say ${word}`, details.includes(word), true);
}

async function check_keyboard(view) {
  begin('the table is sorted by the keyboard');
  const names = () => view.page.locator('#rules tr:not(.more)').evaluateAll(rows => rows.map(row => row.dataset.rule));
  const sorted = column => view.page.locator('#rules-head th', { hasText: column }).getAttribute('aria-sort');
  const counts = async () => (await view.page.locator('#rules tr:not(.more) td[data-label="Requests"]').allInnerTexts()).map(text => Number(text.replace(/\D/g, '')));
  hold('requests first', await counts(), (await counts()).slice().sort((a, b) => b - a));
  await view.page.locator('input[value=start]').focus();
  for (let i = 0; i < 12 && await view.page.evaluate(() => document.activeElement.textContent) !== 'Rule'; i++) await view.page.keyboard.press('Tab');
  await view.page.keyboard.press('Enter');
  hold('by name', await names(), ['banner', 'event', 'event-list', 'none', 'profile', 'quiet']);
  hold('aria-sort', [await sorted('Rule'), await sorted('Requests')], ['ascending', 'none']);
  await view.page.keyboard.press('Space');
  hold('the other way', (await names())[0], 'quiet');
  await view.page.keyboard.press('Tab');
  hold('the focus can be seen', await view.page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'solid');
  await view.page.keyboard.press('Enter');
  hold('requests again', await counts(), (await counts()).slice().sort((a, b) => b - a));

  begin('the period is changed by the keyboard');
  await view.page.locator('input[value=start]').focus();
  await view.page.keyboard.press('ArrowRight');
  await await_shown('nothing was asked lately', async () => (await view.text('#requests')) !== '', true);
  hold('chosen', await view.page.locator('input[value=recent]').isChecked(), true);
  await view.page.keyboard.press('ArrowLeft');

  begin('a chart can be read without eyes, and by the keyboard');
  const chart = view.page.locator('#chart-hits svg');
  hold('its words', /^Hit rate of the last 30 s\. reads from the cache: .+ now, between .+ and .+\.$/.test(await chart.getAttribute('aria-label')), true);
  await chart.focus();
  await view.page.keyboard.press('ArrowLeft');
  hold('its time', /^at \d\d:\d\d:\d\d$/.test(await view.text('#chart-hits .times span:last-child')), true);
  await view.page.keyboard.press('Escape');
  hold('now again', await view.text('#chart-hits .times span:last-child'), 'now');
}

async function check_lists(view) {
  begin('events and purges are told, newest first');
  await await_shown('an event', async () => (await view.text('#events')).includes('purged by hand'), true);
  hold('first event', (await view.page.locator('#events li').last().innerText()).includes('starting'), true);
  const purges = await view.page.locator('#purges li').allInnerTexts();
  hold('by hand', purges[0].includes('by hand') && purges[0].includes('1 key, 1 pattern'), true);
  hold('by a write, with what it names', purges[1].includes('event-write') && purges[1].includes('events-list:*'), true);
}

async function check_contrast(view, scheme) {
  begin(`text can be read: ${scheme}`);
  const low = await view.page.evaluate(() => {
    const luminance = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
      .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const numbers = color => color.match(/[\d.]+/g).map(Number);
    const behind = element => {
      for (let one = element; one; one = one.parentElement) {
        const color = numbers(getComputedStyle(one).backgroundColor);
        if (color.length < 4 || color[3] > 0) return color;
      }
      return [255, 255, 255];
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || ['SCRIPT', 'STYLE'].includes(element.tagName) || !element.checkVisibility()) continue;
      const [a, b] = [luminance(numbers(getComputedStyle(element).color)), luminance(behind(element))].sort((x, y) => y - x);
      if ((a + 0.05) / (b + 0.05) < 4.5) found.push(walker.currentNode.data.trim());
    }
    return [...new Set(found)];
  });
  hold('contrast below 4.5', low, []);
}

async function check_width(browser, larder) {
  for (const width of [360, 768, 1000]) {
    begin(`${width} px are wide enough`);
    const view = await open(browser, larder, { viewport: { width, height: 740 }, hasTouch: width < 500, isMobile: width < 500 });
    await await_shown('state', () => view.text('#state'), 'Live');
    await view.rule('profile').getByRole('button').click();
    hold('no scrolling to the side', await view.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    hold('nothing is cut off', await view.page.evaluate(() => [...document.querySelectorAll('.card, .panel, td, .scroll')]
      .filter(one => one.scrollWidth > one.clientWidth + 1 && one.checkVisibility()).map(one => one.textContent.slice(0, 60))), []);
    await view.rule('profile').getByRole('button').click();
    await shot(view, width === 360 ? 'phone' : `width-${width}`);
    hold('complaints', view.seen.complaints, []);
    await view.close();
  }
}

// What a Redis, a failed reload and a switch at run time would need, without them: the page sees other metrics.
async function check_told(browser, larder) {
  begin('what the metrics tell of savings, times and switches is shown');
  const told = `
larder_backend_seconds_saved_total{rule="event"} 4000
larder_backend_seconds_saved_total{rule="event-list"} 12.5
larder_backend_bytes_saved_total{rule="event"} 3145728
larder_purges_by_rule_total{rule="event-write"} 4711
larder_upstream_duration_seconds_bucket{le="0.01"} 0
larder_upstream_duration_seconds_bucket{le="0.02"} 50
larder_upstream_duration_seconds_bucket{le="0.04"} 100
larder_upstream_duration_seconds_bucket{le="+Inf"} 100
larder_upstream_duration_seconds_count 100
larder_cache_enabled 0
larder_config_last_reload_successful 0
larder_deferred_purges 3
`;
  const names = new RegExp('^(' + [...new Set(told.match(/^larder_[a-z_]+?(?=_bucket|_count|[{ ])/gm))].join('|') + ')[^\\n]*\\n', 'gm');
  const view = await open(browser, larder, {}, `?interval=${INTERVAL}`, async page => {
    await page.route('**/metrics', async route => {
      const answer = await route.fetch();
      await route.fulfill({ response: answer, body: (await answer.text()).replace(names, '') + told });
    });
  });
  await await_shown('savings', () => view.text('#load-saved'), '1 h 6 min of its time and 3.0 MiB saved');
  hold('of a rule', [await cell(view.rule('event'), 'Time saved'), await cell(view.rule('event-list'), 'Time saved')], ['1 h 6 min', '12.5 s']);
  hold('purges of a rule', await cell(view.page.locator('#purge-rules tr'), 'Purges'), '4,711');
  hold('the backend', (await view.text('#backend')).includes('20 ms · 39.6 ms'), true);
  hold('purges that wait', (await view.text('#purging')).replace(/\s*\n\s*/g, ' ').includes('Wait for the store 3'), true);
  hold('state', await view.text('#state'), 'Cache off');
  hold('notices', (await view.text('#notices')).includes('The last reload of the configuration failed.'), true);
  await shot(view, 'told');
  hold('complaints', view.seen.complaints, []);
  await view.page.unrouteAll({ behavior: 'ignoreErrors' });
  await view.close();
}

async function check_states(browser, backend) {
  begin('draining, and a cache that is switched off, are said');
  const larder = new Larder(binary, backend.url, 'cache: off\n');
  await larder.start();
  const view = await open(browser, larder);
  await await_shown('state', () => view.text('#state'), 'Cache off');
  hold('in words', (await view.text('#notices')).startsWith('The cache is switched off.'), true);
  await fetch(larder.admin + '/drain', { method: 'POST' });
  await await_shown('state', () => view.text('#state'), 'Draining');
  await shot(view, 'draining', false);
  await view.close();
  await larder.stop();

  begin('a store that is away is said');
  const alone = new Larder(binary, backend.url, 'store: redis://127.0.0.1:1/0\n');
  await alone.start();
  const degraded = await open(browser, alone);
  await await_shown('state', () => degraded.text('#state'), 'Degraded');
  hold('in words', (await degraded.text('#notices')).startsWith('The store is away.'), true);
  hold('where', (await degraded.text('#store')).includes('redis://127.0.0.1:1/0'), true);
  await shot(degraded, 'degraded', false);
  await degraded.close();
  await alone.stop();
}

async function check_lost(larder, view) {
  begin('a page whose Larder is gone says since when, and goes on when it is back');
  await larder.end();
  await await_shown('state', () => view.text('#state'), 'Connection lost');
  hold('since when', /^Connection to Larder lost at \d\d:\d\d:\d\d\. What is shown is from before\./.test(await view.text('#notices')), true);
  hold('title', await view.page.title(), 'Connection lost · Larder');
  await shot(view, 'lost', false);
  // the browser itself says that nobody listens; the page must say nothing more
  hold('complaints', view.seen.complaints.filter(text => !text.includes('ERR_CONNECTION')), []);
  await larder.start();
  await await_shown('state', () => view.text('#state'), 'Live');
  hold('counters begin anew', await view.text('#notices'), 'Larder was restarted. Counters begin anew.');
  hold('requests', await view.text('#requests'), '0');
}

async function take_picture(browser, larder) {
  const view = await open(browser, larder, { viewport: { width: 1200, height: 900 } }, '');
  await stroll(larder, 310);
  await await_shown('all counted', async () => (await view.text('#requests')) !== '', true);
  await view.page.screenshot({ path: picture });
  await view.close();
}

async function main() {
  const backend = new Backend();
  await backend.start();
  const larder = new Larder(binary, backend.url);
  await larder.start();
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  try {
    if (picture) return await take_picture(browser, larder);
    await check_nothing_yet(browser, larder);
    const view = await open(browser, larder, { colorScheme: 'light' });
    const dark = await open(browser, larder, { colorScheme: 'dark' });
    await play(larder, 3000);
    await larder.request('PATCH', '/api/events/1');
    await larder.purge({ keys: ['event:1'], patterns: ['events-list:*'] });
    await check_numbers(larder, view);
    await check_reasons(view);
    await check_lists(view);
    await check_contrast(view, 'light');
    await await_shown('the dark page has seen all', () => dark.text('#requests'), await view.text('#requests'));
    await check_contrast(dark, 'dark');
    begin('light and dark differ');
    const color = one => one.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    hold('background', (await color(view)) !== (await color(dark)), true);
    await shot(view, 'light');
    await shot(dark, 'dark');
    await check_keyboard(view);
    await check_width(browser, larder);
    begin('nobody but the admin port is asked, and nothing is complained about');
    for (const one of [view, dark]) {
      hold('origins', [...one.seen.origins], [larder.admin]);
      hold('complaints', one.seen.complaints, []);
    }
    await check_told(browser, larder);
    await dark.close();
    await check_states(browser, backend);
    await check_lost(larder, view);
    await view.close();
  } finally {
    await browser.close();
    await larder.stop();
    backend.stop();
  }
  console.log(`dashboard: ${held} held, ${failed} failed; screenshots in ${folder}/`);
  process.exitCode = failed === 0 ? 0 : 1;
}

main().catch(error => {
  console.log(error.stack);
  process.exit(1);
});
