'use strict';
// Asks Larder (judge_cases) and http-cache-semantics about the same generated cases, and explains every difference.

const {spawnSync} = require('child_process');
const {make_cases, on_the_wire} = require('./cases');
const {DIFFERENCES} = require('./differences');
const oracle = require('./oracle');

const usage = `usage: node compare.js JUDGE_CASES [--seed N] [--cases N] [--show N] [--table]

  JUDGE_CASES  the program build/PRESET/tests/judge_cases
  --seed N     of the cases (default 9111)
  --cases N    how many (default 6000)
  --show N     how many unexplained differences to print (default 5)
  --table      print how many cases each difference explains

Exit 1 when a difference is not explained, when an explanation is never needed (unless there are fewer cases than by
default), or when so little is stored and served that it would prove nothing.
`;
const DEFAULT_CASES = 6000;

function read_arguments(words) {
    const options = {seed: 9111, cases: DEFAULT_CASES, show: 5};
    let table = false;
    let program;
    for (let i = 0; i < words.length; ++i) {
        const number = words[i].startsWith('--') ? words[i].slice(2) : undefined;
        if (number in options && /^\d+$/.test(words[i + 1] ?? '')) options[number] = Number(words[++i]);
        else if (words[i] === '--table') table = true;
        else if (!program && !words[i].startsWith('-')) program = words[i];
        else program = null;
    }
    if (!program) {
        process.stderr.write(usage);
        process.exit(2);
    }
    return {program, table, ...options};
}

function ask_larder(program, wires) {
    const input = wires.map((wire) => `${JSON.stringify(wire)}\n`).join('');
    const done = spawnSync(program, {input, maxBuffer: 2 ** 30});
    if (done.error || done.status !== 0) {
        process.stderr.write(`${done.error ?? ''}${done.stderr ?? ''}`);
        process.exit(1);
    }
    return done.stdout.toString().trim().split('\n').map((line) => JSON.parse(line));
}

/// What the two say differently, in words; empty: nothing.
function differences(larder, other) {
    if (larder.stored !== other.stored) {
        const word = (judged) => (judged.stored ? 'stores it' : 'does not store it');
        return [`Larder ${word(larder)}${larder.reason ? ` (${larder.reason})` : ''}, the package ${word(other)}`];
    }
    if (!larder.stored) return [];
    const found = [];
    const hold = (what, mine, theirs) => {
        if (mine !== theirs) found.push(`${what}: Larder ${mine}, the package ${theirs}`);
    };
    hold('lifetime', larder.lifetime, other.lifetime);
    larder.later.forEach((mine, i) => {
        for (const word of ['age', 'use', 'on error']) hold(`${word}, later request ${i}`, mine[word], other.later[i][word]);
    });
    return found;
}

/// What the package says about the case as the explanations rewrite it, and which of them did.
function explain(made, list) {
    const rewritten = JSON.parse(JSON.stringify(made));
    const applied = list.filter((one) => one.rewrite(rewritten));
    return {judged: oracle.judge(on_the_wire(rewritten)), applied};
}

function print_case(wire, found) {
    const lines = (message) => message.fields.map(([name, text]) => `\n      ${name}: ${text}`).join('');
    console.log(`\ncase ${wire.id}, ${wire.rule === 'ttl' ? 'a rule with ttl: 60s' : 'respect-origin'}`);
    console.log(`    ${wire.request.method}${lines(wire.request)}\n    ${wire.response.status}${lines(wire.response)}`);
    wire.later.forEach(({after, request}, i) => console.log(`    later request ${i}, after ${after} s: ${request.method}${lines(request)}`));
    for (const text of found) console.log(`    -> ${text}`);
}

function main() {
    const options = read_arguments(process.argv.slice(2));
    const cases = make_cases(options.seed, options.cases);
    const wires = cases.map(on_the_wire);
    const larder = ask_larder(options.program, wires);
    const counts = {agree: 0, both_store: 0, larder_serves: 0, uses: 0};
    const explained = new Map(DIFFERENCES.map((one) => [one, 0]));
    const unexplained = [];

    cases.forEach((made, i) => {
        if (larder[i].stored) counts.larder_serves += larder[i].later.filter((one) => one.use === 'serve').length;
        const other = oracle.judge(wires[i]);
        if (larder[i].stored && other.stored) {
            counts.both_store += 1;
            counts.uses += larder[i].later.length;
        }
        if (differences(larder[i], other).length === 0) {
            counts.agree += 1;
            return;
        }
        const {judged, applied} = explain(made, DIFFERENCES);
        const left = differences(larder[i], judged);
        if (left.length > 0) {
            unexplained.push({wire: wires[i], left: [...left, `explained in part by: ${applied.map((one) => one.name).join(', ') || 'nothing'}`]});
            return;
        }
        // those without which the two would still disagree are the reasons
        for (const one of applied) {
            const without = explain(made, applied.filter((another) => another !== one));
            if (differences(larder[i], without.judged).length > 0) explained.set(one, explained.get(one) + 1);
        }
    });

    const percent = (count, all) => `${Math.round((100 * count) / all)} %`;
    console.log(`seed ${options.seed}: ${cases.length} cases, ${percent(counts.agree, cases.length)} alike as they stand; both store `
        + `${counts.both_store}, with ${counts.uses} later requests; Larder serves ${counts.larder_serves} without asking`);
    if (options.table) {
        console.log('cases  difference (its section)');
        for (const [one, count] of explained) console.log(`${String(count).padStart(5)}  ${one.name} (${one.section}): ${one.why}`);
    }
    for (const {wire, left} of unexplained.slice(0, options.show)) print_case(wire, left);

    const stale = options.cases < DEFAULT_CASES ? [] : [...explained].filter(([, count]) => count === 0).map(([one]) => one.name);
    if (stale.length > 0) console.log(`\nexplanations that explain nothing: ${stale.join(', ')}`);
    // A comparison in which hardly anything is stored or served would prove nothing.
    const is_thin = counts.both_store < cases.length / 8 || counts.larder_serves < cases.length / 2;
    if (is_thin) console.log('\ntoo few cases are stored or served');
    console.log(`${unexplained.length} differences without an explanation, ${DIFFERENCES.length} known ones`);
    process.exit(unexplained.length > 0 || stale.length > 0 || is_thin ? 1 : 0);
}

main();
