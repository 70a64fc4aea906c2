'use strict';
// Generated cases: a request, its response, and later requests that what is stored may answer. The same seed gives the
// same cases. Every value is made together with what the RFC says it means, so that nothing here parses HTTP.

const NOW = Date.UTC(2026, 6, 1, 12, 0, 0);  // when each response arrives
const RULE_TTL_S = 60;                       // of the rule `ttl` in judge_cases.cpp
const MAX_DELTA_S = 2 ** 31;                 // RFC 9111 §1.2.2

class Chance {
    constructor(seed) { this.state = seed >>> 0; }
    next() {  // mulberry32: 32 bits of state, good enough to pick from lists
        this.state = (this.state + 0x6d2b79f5) >>> 0;
        let t = this.state;
        t = Math.imul(t ^ (t >>> 15), t | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    }
    one_in(count) { return this.next() * count < 1; }
    pick(list) { return list[Math.floor(this.next() * list.length)]; }
}

const DELTAS_S = [0, 1, 10, 60, 100, 600, 3600];

/// A directive: its text on the wire and what it means. `value` is true, seconds, or a list of field names. `spelling`
/// names what is unusual about the text, for differences.js.
function directive(text, name, value, spelling) { return {text, name, value, spelling}; }

/// The usual text of what a directive means.
function plain(name, value) {
    if (value === true) return directive(name, name, true);
    return directive(typeof value === 'number' ? `${name}=${value}` : `${name}="${value}"`, name, value);
}

const capitals = (name) => name.replace(/(^|-)[a-z]/g, (letters) => letters.toUpperCase());

function seconds_directive(chance, name) {
    const n = chance.pick(DELTAS_S);
    if (!chance.one_in(5)) return plain(name, n);
    return chance.pick([
        () => directive(`${name}="${n}"`, name, n),
        () => directive(`${name}=00${n}`, name, n),
        () => directive(`${capitals(name)}=${n}`, name, n, 'letter case'),
        () => directive(`${name.toUpperCase()}=${n}`, name, n, 'letter case'),
        () => directive(name, name, 0),
        () => directive(`${name}=soon`, name, 0),
        () => directive(`${name}='${n}'`, name, 0),
        () => directive(`${name}=`, name, 0, 'empty argument'),
        () => directive(`${name}=""`, name, 0, 'empty argument'),
        () => directive(`${name}=-1`, name, 0, 'no delta-seconds'),
        () => directive(`${name}=1.5`, name, 0, 'no delta-seconds'),
        () => directive(`${name}=+${n}`, name, 0, 'no delta-seconds'),
        () => directive(`${name}=${n}s`, name, 0, 'no delta-seconds'),
        () => directive(`${name} =${n}`, name, 0, 'space at ='),
        () => directive(`${name}= ${n}`, name, 0, 'space at ='),
        () => directive(`${name}=99999999999`, name, MAX_DELTA_S, 'above 2^31'),
        () => directive(`${name}="${n}`, 'no-store', true, 'open quote'),
    ])();
}

function flag_directive(chance, name) {
    if (!chance.one_in(6)) return plain(name, true);
    return chance.pick([
        () => directive(capitals(name), name, true, 'letter case'),
        () => directive(`${name}=1`, name, true),
        () => directive(`${name}=`, name, true, 'empty argument'),
    ])();
}

function qualified_directive(chance, name) {
    if (chance.one_in(2)) return flag_directive(chance, name);
    return chance.pick([
        () => plain(name, 'x-a'),
        () => directive(`${name}=x-a`, name, 'x-a'),
        () => directive(`${name}=""`, name, true, 'empty argument'),
        () => directive(`${name}="Set-Cookie"`, name, 'set-cookie'),
        () => directive(`${name}="set-cookie, x-a"`, name, 'set-cookie, x-a'),
    ])();
}

function unknown_directive(chance) {
    return chance.pick([
        () => directive('community="UCI"', 'community', true),
        () => directive('surprise', 'surprise', true),
        () => directive('no-transform', 'no-transform', true),
        () => directive('pre-check=0', 'pre-check', true),
        () => directive('max-ages=5', 'max-ages', true),
        () => directive('ext="no-store"', 'ext', true),
        () => directive('ext="a, no-store, b"', 'ext', true, 'comma in quotes'),
        () => directive('ext="a, max-age=7, b"', 'ext', true, 'comma in quotes'),
    ])();
}

/// Directives with the lines that they stand on.
function place(chance, directives) {
    let line = 0;
    return directives.map((one) => {
        const placed = {...one, line};
        // what an open quote has swallowed up to the end of its line means nothing
        if (one.spelling === 'open quote' || chance.one_in(8)) line += 1;
        return placed;
    });
}

function response_directives(chance) {
    const list = [];
    if (!chance.one_in(3)) list.push(seconds_directive(chance, 'max-age'));
    if (chance.one_in(6)) list.push(seconds_directive(chance, 's-maxage'));
    if (chance.one_in(30)) list.push(seconds_directive(chance, 'max-age'));
    if (chance.one_in(60)) list.push(seconds_directive(chance, 's-maxage'));
    if (chance.one_in(8)) list.push(seconds_directive(chance, 'stale-while-revalidate'));
    if (chance.one_in(8)) list.push(seconds_directive(chance, 'stale-if-error'));
    for (const name of ['public', 'must-revalidate', 'proxy-revalidate', 'immutable', 'no-store', 'must-understand'])
        if (chance.one_in(14)) list.push(flag_directive(chance, name));
    for (const name of ['private', 'no-cache'])
        if (chance.one_in(14)) list.push(qualified_directive(chance, name));
    if (chance.one_in(20)) list.push(plain('must-understand', true), plain('no-store', true));
    if (chance.one_in(10)) list.push(unknown_directive(chance));
    for (let i = list.length - 1; i > 0; --i) {
        const j = Math.floor(chance.next() * (i + 1));
        [list[i], list[j]] = [list[j], list[i]];
    }
    return place(chance, list);
}

function request_directives(chance, often) {
    const list = [];
    if (!chance.one_in(often)) return list;
    do {
        const name = chance.pick(['max-age', 'min-fresh', 'max-stale', 'max-stale', 'no-cache', 'only-if-cached',
            'no-transform', 'surprise']);
        if (['max-age', 'min-fresh'].includes(name)) list.push(seconds_directive(chance, name));
        else if (name !== 'max-stale') list.push(flag_directive(chance, name));
        else list.push(chance.one_in(3) ? plain(name, true) : plain(name, chance.pick(DELTAS_S)));
    } while (chance.one_in(3));
    // an open quote in a request is the client's own loss, and one directive said twice that of the first
    const names = new Set();
    return place(chance, list.filter((one) => one.spelling !== 'open quote' && !names.has(one.name) && names.add(one.name)));
}

const imf = (at_s) => new Date(NOW + at_s * 1000).toUTCString();
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

function rfc850(at_s) {
    const [, day, month, year, time] = imf(at_s).split(' ');
    return `${DAYS[new Date(NOW + at_s * 1000).getUTCDay()]}, ${day}-${month}-${year.slice(2)} ${time} GMT`;
}

function asctime(at_s) {
    const [day_name, day, month, year, time] = imf(at_s).split(' ');
    return `${day_name.slice(0, 3)} ${month} ${day.replace(/^0/, ' ')} ${time} ${year}`;
}

/// A date field: its text, and the time it means in seconds from NOW; null: none that a cache may read.
function date_field(chance, name, at_s) {
    const field = (text, at, spelling) => ({name, text, at, spelling});
    if (!chance.one_in(3)) return field(imf(at_s), at_s);
    const year_2060 = (Date.UTC(2060, 0, 1) - NOW) / 1000;
    return chance.pick([
        () => field(rfc850(at_s), at_s),
        () => field(asctime(at_s), at_s),
        () => field(imf(at_s).toLowerCase(), at_s),
        () => field(imf(at_s).replace(/^.../, 'Fri'), at_s),
        () => field('0', null, 'foreign date'),
        () => field('-1', null, 'foreign date'),
        () => field('tomorrow', null),
        () => field('', null, 'empty date'),
        () => field('', null, 'empty date'),
        () => field(new Date(NOW + at_s * 1000).toISOString(), null, 'foreign date'),
        () => field(imf(at_s).replace(' GMT', ''), null, 'foreign date'),
        () => field(imf(at_s).replace('GMT', '+0000'), null, 'foreign date'),
        () => field(imf(at_s).replace(', ', ','), null, 'foreign date'),
        () => field('Mon, 31 Nov 2026 12:00:00 GMT', null, 'foreign date'),
        () => field('Wed, 01 Jul 2026 12:10:60 GMT', 660, 'leap second'),
        () => field(rfc850(year_2060), year_2060, 'two-digit year'),
    ])();
}

/// `Age`: its text and the seconds it means; null: it cannot be read and is ignored (RFC 9111 §5.1).
function age_field(chance) {
    const field = (text, value, spelling) => ({name: 'Age', text, value, spelling});
    const n = chance.pick(DELTAS_S);
    if (!chance.one_in(4)) return field(String(n), n);
    return chance.pick([
        () => field(`${n}, 7`, n),
        () => field(`00${n}`, n),
        () => field('old', null),
        () => field('', null),
        () => field('-5', null, 'invalid age'),
        () => field('1.5', null, 'invalid age'),
        () => field(`${n};x`, null, 'invalid age'),
        () => field('99999999999', MAX_DELTA_S, 'above 2^31'),
        () => field('99999999999', MAX_DELTA_S, 'above 2^31'),
    ])();
}

/// What CDN-Cache-Control and Larder-Cache-Control mean to this cache (RFC 9213); null: no dictionary, as if not there.
const TARGETED = [
    ['max-age=600', ['max-age', 600]], ['max-age=0', ['max-age', 0]], ['no-store', ['no-store', true]],
    ['s-maxage=10', ['s-maxage', 10]], ['private', ['private', true]], ['max-age="600"'], ['max-age=1.5'],
    ['Max-Age=600', null], ['max-age=600,', null], ['', null], ['max-age=600;x=1', ['max-age', 600]], ['max-age=-1', ['max-age', 0]],
];

function targeted_field(chance) {
    const [text, means] = chance.pick(TARGETED);
    return {
        name: chance.pick(['CDN-Cache-Control', 'Larder-Cache-Control']),
        text,
        means: means === null ? null : means === undefined ? [] : [plain(...means)],
    };
}

const VARY = ['Accept-Encoding', 'accept-encoding', 'X-A', 'Accept-Encoding, X-A', ''];
const VARY_ANY = [['*'], ['X-A, *'], ['x a', 'no name in Vary']];

function vary_field(chance) {
    if (!chance.one_in(4)) return {name: 'Vary', text: chance.pick(VARY)};
    const [text, spelling] = chance.pick(VARY_ANY);
    return {name: 'Vary', text, any: true, spelling};
}

/// Accept-Encoding: texts with the same `means` ask for the same thing.
const ENCODINGS = [
    ['gzip, br', 'gzip and br'], ['br,gzip', 'gzip and br'], ['gzip;q=1.0, br', 'gzip and br'], ['br, x-gzip', 'gzip and br'],
    ['gzip', 'gzip'], ['br;q=0.5, gzip', 'gzip before br'], ['', 'none'],
];

function selecting_fields(chance, often) {
    const fields = [];
    if (chance.one_in(often)) {
        const [text, means] = chance.pick(ENCODINGS);
        fields.push({name: 'Accept-Encoding', text, means});
    }
    if (chance.one_in(often)) {
        const [text, means] = chance.pick([['one'], ['two'], [''], ['one,two', 'one,two'], ['one, two', 'one,two']]);
        fields.push({name: 'X-A', text, means});
    }
    return fields;
}

const STATUSES = [
    201, 202, 203, 204, 205, 206, 226, 299, 300, 301, 302, 303, 304, 305, 307, 308, 399, 400, 401, 402, 403, 404, 404, 405, 406,
    407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504,
    505, 511, 599,
];

function request(chance, {later}) {
    const methods = later ? ['GET', 'GET', 'GET', 'GET', 'GET', 'GET', 'GET', 'GET', 'GET', 'HEAD'] : ['GET', 'HEAD', 'POST'];
    const fields = [];
    const has_identity = chance.one_in(later ? 25 : 10);
    if (has_identity) fields.push({name: chance.pick(['Authorization', 'Authorization', 'Cookie']), text: 'a=b'});
    const directives = request_directives(chance, later ? 2 : 8);
    if (!later && chance.one_in(25)) directives.push({...flag_directive(chance, 'no-store'), line: 0});
    if (chance.one_in(later ? 20 : 40)) fields.push({name: 'Pragma', text: 'no-cache'});
    return {method: later || chance.one_in(6) ? chance.pick(methods) : 'GET', directives, fields};
}

function response(chance) {
    const fields = [];
    const date_at = chance.pick([0, 0, 0, 0, 0, -1, -100, -1000, 100]);
    if (!chance.one_in(8)) fields.push(date_field(chance, 'Date', date_at));
    if (chance.one_in(3)) fields.push(date_field(chance, 'Expires', chance.pick([-10, 0, 10, 100, 600, 3600])));
    if (chance.one_in(25)) fields.push(date_field(chance, 'Expires', chance.pick([10, 3600])));
    if (chance.one_in(4)) fields.push(age_field(chance));
    if (chance.one_in(4)) {
        const at = -chance.pick([1000, 36000]);
        fields.push(chance.one_in(8) ? {name: 'Last-Modified', text: 'once', at: null} : {name: 'Last-Modified', text: imf(at), at});
    }
    if (chance.one_in(3)) fields.push({name: 'ETag', text: '"v1"'});
    if (chance.one_in(5)) fields.push(vary_field(chance));
    if (chance.one_in(20)) fields.push({name: 'Set-Cookie', text: 'a=b'});
    if (chance.one_in(20)) fields.push({name: 'Pragma', text: 'no-cache'});
    if (chance.one_in(25)) fields.push(targeted_field(chance));
    const status = chance.one_in(3) ? chance.pick(STATUSES) : 200;
    return {status, directives: response_directives(chance), fields};
}

/// Times at which something may change: around each sum of a lifetime, a window and an age that the case names.
function times_later(chance, made) {
    const lifetimes = [RULE_TTL_S, RULE_TTL_S / 10, 24 * 3600];
    const windows = [0];
    for (const one of made.response.directives)
        if (typeof one.value === 'number') (one.name.startsWith('stale') ? windows : lifetimes).push(one.value);
    const ages = [0];
    for (const field of made.response.fields) {
        if (field.name === 'Expires' && field.at !== null) lifetimes.push(field.at);
        if (field.name === 'Age' && field.value) ages.push(field.value);
        if (field.name === 'Date' && field.at < 0) ages.push(-field.at);
    }
    const times = [0];
    while (times.length < 6) {
        const edge = chance.pick(lifetimes) + chance.pick(windows) - chance.pick(ages);
        times.push(Math.max(0, edge + chance.pick([-1, 0, 1, 9, 60])));
    }
    return times;
}

function make_case(chance, id) {
    const made = {id, rule: chance.one_in(3) ? 'ttl' : 'respect-origin', request: request(chance, {later: false}),
        response: response(chance)};
    const varies = made.response.fields.some((field) => field.name === 'Vary');
    made.request.fields.push(...selecting_fields(chance, varies ? 2 : 20));
    const has_authorization = made.request.fields.some((field) => field.name === 'Authorization');
    made.later = times_later(chance, made).map((after) => {
        const again = request(chance, {later: true});
        if (varies && chance.one_in(2)) again.fields.push(...selecting_fields(chance, 2));
        else again.fields.push(...made.request.fields.filter((field) => ['Accept-Encoding', 'X-A'].includes(field.name)));
        if (has_authorization && chance.one_in(2)) again.fields.push({name: 'Authorization', text: 'a=b'});
        return {after, request: again};
    });
    return made;
}

function make_cases(seed, count) {
    const chance = new Chance(seed);
    return Array.from({length: count}, (_, id) => make_case(chance, id));
}

/// The field lines of a message, as they stand on the wire.
function field_lines(message) {
    const lines = [];
    for (const one of message.directives) (lines[one.line] ??= []).push(one.text);
    return [...lines.filter(Boolean).map((texts) => ['Cache-Control', texts.join(', ')]),
        ...message.fields.map((field) => [field.name, field.text])];
}

/// A case as both judges read it.
function on_the_wire(made) {
    const message = (one) => ({method: one.method, status: one.status, fields: field_lines(one)});
    return {
        id: made.id, rule: made.rule, now: NOW, request: message(made.request), response: message(made.response),
        later: made.later.map(({after, request: again}) => ({after, request: message(again)})),
    };
}

module.exports = {NOW, MAX_DELTA_S, RULE_TTL_S, make_cases, on_the_wire, plain, imf};
