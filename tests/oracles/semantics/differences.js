'use strict';
// Where Larder and http-cache-semantics differ, and why: the whole list. compare.js fails on a difference that is not
// explained here, and on an explanation that explains nothing.
//
// An explanation does not excuse a case, it rewrites it: into one that says to the package in its own words what the
// case means to Larder. Both must then agree about everything: stored or not, lifetime, age, use at each later time.
// So it must be right about how Larder differs, not only about where. They are applied in the order given here, each to
// what those before it have made, and only to cases in which the two disagree.

const {MAX_DELTA_S, RULE_TTL_S, plain, imf, on_the_wire} = require('./cases');
const oracle = require('./oracle');

// What is asked about a case. Directives carry their meaning with them, see cases.js.
const all_directives = (made) => [made.request, made.response, ...made.later.map((one) => one.request)].flatMap(
    (message) => message.directives);
const all_requests = (made) => [made.request, ...made.later.map((one) => one.request)];
const find = (message, name) => message.directives.find((one) => one.name === name);
const has = (message, name) => Boolean(find(message, name));
const field = (message, name) => message.fields.find((one) => one.name === name);
const is_explicit = ({response}) => has(response, 's-maxage') || has(response, 'max-age') || Boolean(field(response, 'Expires'));
/// Nothing says how long, and nothing says that it is to be asked about each time either.
function is_silent(made) {
    const may_be_stored = has(made.response, 'public') || HEURISTIC.includes(made.response.status);
    return !is_explicit(made) && !(has(made.response, 'no-cache') && may_be_stored);
}
const has_validator = ({response}) => Boolean(field(response, 'ETag') || field(response, 'Last-Modified'));

// How a case is rewritten. Each says whether it changed something.
function add(message, name, value = true) {
    if (find(message, name)?.value === value) return false;
    message.directives.push({...plain(name, value), line: 0});
    return true;
}
function remove(message, ...names) {
    const before = message.directives.length;
    message.directives = message.directives.filter((one) => !names.includes(one.name));
    return message.directives.length < before;
}
function remove_field(message, name) {
    const before = message.fields.length;
    message.fields = message.fields.filter((one) => one.name !== name);
    return message.fields.length < before;
}
function each(list, change) { return list.map(change).some(Boolean); }
function not_stored(made) { return add(made.response, 'no-store'); }
function never_stale(made) {
    const windows = remove(made.response, 'stale-while-revalidate', 'stale-if-error');
    return each(made.later, (one) => remove(one.request, 'max-stale')) || windows;
}
/// Writes in the usual way what was written in an unusual one.
function respell(spelling) {
    return (made) => each(all_directives(made).filter((one) => one.spelling === spelling), (one) => {
        Object.assign(one, plain(one.name, one.value));
        return true;
    });
}
function redate(spelling) {
    return (made) => each(made.response.fields.filter((one) => one.spelling === spelling), (one) => {
        // a Date that cannot be read is as one that is not there, an Expires has expired (RFC 9111 §5.3)
        if (one.at === null && one.name === 'Date') return remove_field(made.response, 'Date');
        Object.assign(one, {text: imf(one.at ?? -24 * 3600), spelling: undefined});
        return true;
    });
}

// Statuses that the two treat differently. `understoodStatuses` of the package:
const PACKAGE_UNDERSTANDS = [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501];
const LARDER_UNDERSTANDS = [...PACKAGE_UNDERSTANDS, 201, 202, 205, 400, 401, 402, 403, 406, 407, 408, 409, 411, 413, 415, 417, 421,
    422, 426, 428, 429, 431, 451, 500, 502, 503, 504, 505, 511];
const NEVER_STORED = [206, 304, 412, 416, 428, 429, 431, 511];
const HEURISTIC = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

function rule_ttl_s({rule, response}) {
    if (rule !== 'ttl') return undefined;
    if ([200, 203, 204, 300, 301, 308].includes(response.status)) return RULE_TTL_S;
    return [404, 410].includes(response.status) ? RULE_TTL_S / 10 : undefined;
}

const DIFFERENCES = [
    // --- what the package cannot read ---
    {
        name: 'targeted fields',
        section: 'RFC 9213 §2.2',
        why: 'the package does not know CDN-Cache-Control; Larder obeys it in place of Cache-Control and Expires',
        rewrite: (made) => {
            const own = field(made.response, 'Larder-Cache-Control');
            const targeted = own ?? field(made.response, 'CDN-Cache-Control');
            // without any means: a dictionary whose only directive is of the wrong type says nothing, but is obeyed
            if (!targeted || targeted.means === null) return false;
            made.response.directives = targeted.means.map((one) => ({...one, line: 0}));
            remove_field(made.response, 'Expires');
            remove_field(made.response, targeted.name);
            return true;
        },
    },
    {
        name: 'letter case of directives',
        section: 'RFC 9111 §5.2',
        why: 'names of directives have no case; the package compares them with case',
        rewrite: respell('letter case'),
    },
    {
        name: 'empty arguments',
        section: 'RFC 9111 §4.2.1, §5.2',
        why: 'the package takes a directive with an empty argument for absent, "no-store=" too; to Larder it is there, and an '
            + 'empty lifetime is 0',
        rewrite: respell('empty argument'),
    },
    {
        name: 'no delta-seconds',
        section: 'RFC 9111 §1.2.2, §4.2.1',
        why: 'the package reads the digits that max-age=60s, 1.5, +60 or -1 begin with; to Larder invalid freshness is 0',
        rewrite: respell('no delta-seconds'),
    },
    {
        name: 'space at =',
        section: 'RFC 9111 §5.2',
        why: 'the grammar has none; the package trims it, to Larder the value is invalid and so 0 (rules/README.md)',
        rewrite: respell('space at ='),
    },
    {
        name: 'commas in quotes',
        section: 'RFC 9110 §5.6.4',
        why: 'the package splits quoted strings at commas and obeys what stands in them',
        rewrite: respell('comma in quotes'),
    },
    {
        name: 'open quotes',
        section: 'RFC 9110 §5.6.4',
        why: 'the package drops a quote that does not end; Larder does not store, since the quote may have swallowed no-store',
        rewrite: (made) => {
            const open = made.response.directives.some((one) => one.spelling === 'open quote');
            return open && [remove(made.response, 'must-understand'), respell('open quote')(made)].some(Boolean);
        },
    },
    {
        name: 'delta-seconds above 2^31',
        section: 'RFC 9111 §1.2.2',
        why: 'Larder counts them as 2^31, the package as written',
        rewrite: (made) => {
            const age = field(made.response, 'Age');
            const too_old = age?.spelling === 'above 2^31';
            if (too_old) Object.assign(age, {text: String(age.value), spelling: undefined});
            return respell('above 2^31')(made) || too_old;
        },
    },
    {
        name: 'directives that contradict',
        section: 'RFC 9111 §4.2.1',
        why: 'of two different values the package takes the last; the RFC wants the first one or stale, Larder takes it as stale',
        rewrite: (made) => each(['max-age', 's-maxage'], (name) => {
            const values = new Set(made.response.directives.filter((one) => one.name === name).map((one) => one.value));
            return values.size > 1 && remove(made.response, name) && add(made.response, name, 0);
        }),
    },
    {
        name: 'Expires twice',
        section: 'RFC 9111 §4.2.1',
        why: 'the RFC wants the first one or stale: the package (node) takes the first, Larder takes it as stale',
        rewrite: (made) => {
            const texts = new Set(made.response.fields.filter((one) => one.name === 'Expires').map((one) => one.text));
            if (texts.size < 2) return false;
            remove_field(made.response, 'Expires');
            made.response.fields.push({name: 'Expires', text: imf(-24 * 3600), at: -24 * 3600});
            return true;
        },
    },
    {
        name: 'dates that HTTP does not have',
        section: 'RFC 9110 §5.6.7, RFC 9111 §4.2, §5.3',
        why: 'the package reads what Date.parse reads (ISO 8601, +0000, no zone, 31 November, -1); to Larder these are no dates',
        rewrite: redate('foreign date'),
    },
    {
        name: 'empty dates',
        section: 'RFC 9111 §5.3',
        why: 'the package takes an empty Expires for absent; to Larder it is invalid, which means expired',
        rewrite: redate('empty date'),
    },
    {
        name: 'leap seconds',
        section: 'RFC 9110 §5.6.7',
        why: 'the grammar has second 60, Date.parse does not',
        rewrite: redate('leap second'),
    },
    {
        name: 'two-digit years',
        section: 'RFC 9110 §5.6.7',
        why: 'years of RFC 850 dates are past when they seem more than 50 years ahead; Date.parse takes 50 to 99 for 19xx',
        rewrite: redate('two-digit year'),
    },
    {
        name: 'invalid Age',
        section: 'RFC 9111 §5.1',
        why: 'the package reads the digits that -5, 1.5 or 10;x begin with; Larder ignores an invalid Age',
        rewrite: (made) => field(made.response, 'Age')?.spelling === 'invalid age' && remove_field(made.response, 'Age'),
    },

    {
        name: 'Pragma beside Cache-Control',
        section: 'RFC 9111 §5.4',
        why: 'Pragma counts where a request has no Cache-Control; to the package always',
        rewrite: (made) => each(made.later, (one) => one.request.directives.length > 0 && remove_field(one.request, 'Pragma')),
    },

    // --- age ---
    {
        name: 'apparent age',
        section: 'RFC 9111 §4.2.3',
        why: 'the package counts Age alone; by the RFC a response is at least as old as its Date says',
        rewrite: (made) => {
            const apparent_s = -(field(made.response, 'Date')?.at ?? 0);
            const age = field(made.response, 'Age');
            if (apparent_s <= (age?.value ?? 0)) return false;
            remove_field(made.response, 'Age');
            made.response.fields.push({name: 'Age', text: String(apparent_s), value: apparent_s});
            return true;
        },
    },

    // --- what directives do ---
    {
        name: 'no-cache and what is stale',
        section: 'RFC 9111 §5.2.2.4',
        why: 'no-cache wants validation for each use; the package allows max-stale and the windows of RFC 5861 all the same',
        rewrite: (made) => made.response.directives.some((one) => one.name === 'no-cache' && one.value !== 'set-cookie')
            && never_stale(made),
    },
    {
        name: 'no-cache and private for Set-Cookie',
        section: 'RFC 9111 §5.2.2.4, §5.2.2.7',
        why: 'both may concern fields only: what Set-Cookie says is not stored anyway; the package takes it for the whole',
        rewrite: (made) => {
            const before = made.response.directives.length;
            made.response.directives = made.response.directives.filter((one) => one.value !== 'set-cookie');
            return made.response.directives.length < before;
        },
    },
    {
        name: 'must-understand',
        section: 'RFC 9111 §5.2.2.3',
        why: 'it lifts no-store for statuses whose caching a cache knows, and forbids storing others; the package ignores it',
        rewrite: (made) => {
            if (!has(made.response, 'must-understand')) return false;
            if (!LARDER_UNDERSTANDS.includes(made.response.status)) return not_stored(made);
            return remove(made.response, 'no-store');
        },
    },
    {
        name: 'must-revalidate',
        section: 'RFC 9111 §5.2.2.2',
        why: 'it forbids what is stale; the package then serves nothing, fresh or not, and yet lets stale-if-error stand in',
        rewrite: (made) => {
            if (!remove(made.response, 'must-revalidate')) return false;
            if (field(made.request, 'Authorization')) add(made.response, 'public');  // what it did beside (§3.5)
            never_stale(made);
            return true;
        },
    },
    {
        name: 'proxy-revalidate',
        section: 'RFC 9111 §5.2.2.8',
        why: 'it forbids what is stale; the package takes the lifetime for 0',
        rewrite: (made) => remove(made.response, 'proxy-revalidate') && [never_stale(made), true].some(Boolean),
    },
    {
        name: 's-maxage and max-stale',
        section: 'RFC 9111 §5.2.2.10',
        why: 's-maxage includes proxy-revalidate: a request may not ask for what is stale; the package lets it',
        rewrite: (made) => has(made.response, 's-maxage') && each(made.later, (one) => remove(one.request, 'max-stale')),
    },
    {
        name: 'immutable as a lifetime',
        section: 'RFC 8246 §2',
        why: 'immutable makes nothing last longer; the package makes an Expires at least 24 hours of it',
        rewrite: (made) => {
            made.response.was_immutable = remove(made.response, 'immutable');
            return made.response.was_immutable;
        },
    },
    {
        name: 'Pragma in responses',
        section: 'RFC 9111 §5.4',
        why: 'Pragma has no meaning in a response; the package takes no-cache there for that of Cache-Control',
        rewrite: (made) => remove_field(made.response, 'Pragma'),
    },

    // --- what may be stored ---
    {
        name: 'HEAD and POST',
        section: 'RFC 9110 §9.3.2, §9.3.3, RFC 9111 §3',
        why: 'Larder stores responses to GET only, which is allowed; the package also those to HEAD, and to POST with a lifetime',
        rewrite: (made) => {
            if (made.request.method === 'GET') return false;
            made.request.method = 'GET';
            not_stored(made);
            return true;
        },
    },
    {
        name: 'requests to a rule',
        section: 'RFC 9111 §5.2.1, departure',
        why: 'a rule ignores what later requests say about caching (client_cache_control: ignore)',
        rewrite: (made) => made.rule === 'ttl' && each(made.later, ({request}) => {
            const changed = request.directives.length > 0 || Boolean(field(request, 'Pragma'));
            request.directives = [];
            remove_field(request, 'Pragma');
            return changed;
        }),
    },
    {
        name: 'identity and a rule',
        section: 'safe default',
        why: 'a rule whose key names nobody lets requests with Authorization or Cookie pass by (rules/README.md, "Who asks")',
        rewrite: (made) => {
            const names_somebody = (one) => one.fields.some(({name}) => ['Authorization', 'Cookie'].includes(name));
            if (made.rule !== 'ttl') return false;
            if (names_somebody(made.request)) return not_stored(made);
            return each(made.later, (one) => names_somebody(one.request) && add(one.request, 'no-cache'));
        },
    },
    {
        name: 'Set-Cookie',
        section: 'RFC 9111 §7.3, departure',
        why: 'Larder does not store it; the package stores it and never serves it, or serves it with public or immutable',
        rewrite: (made) => Boolean(field(made.response, 'Set-Cookie')) && not_stored(made),
    },
    {
        name: 'Vary: *',
        section: 'RFC 9111 §4.1',
        why: 'it never matches: Larder does not store it, the package does and never serves it',
        rewrite: (made) => made.response.fields.some((one) => one.any && !one.spelling) && not_stored(made),
    },
    {
        name: 'Vary with what is no field name',
        section: 'RFC 9110 §12.5.5',
        why: 'Larder takes it for "*", the package for a field that no request has',
        rewrite: (made) => made.response.fields.some((one) => one.spelling === 'no name in Vary') && not_stored(made),
    },
    {
        name: 'the ttl of a rule',
        section: 'RFC 9111 §4.2.2, departure',
        why: "the rule's ttl stands where the origin is silent, for the statuses it names",
        rewrite: (made) => {
            const ttl_s = rule_ttl_s(made);
            if (ttl_s === undefined || is_explicit(made)) return false;
            return add(made.response, 'max-age', ttl_s);
        },
    },
    {
        name: 'the heuristic',
        section: 'RFC 9111 §4.2.2, departure',
        why: 'the package takes a tenth of the time since Last-Modified for a lifetime; Larder does not guess and does not store',
        rewrite: (made) => is_silent(made) && field(made.response, 'Last-Modified')?.at < 0 && not_stored(made),
    },
    {
        name: 'no lifetime',
        section: 'RFC 9111 §3, departure',
        why: 'without a lifetime nothing is stored, except what no-cache wants asked about each time; the package stores it, and '
            + 'serves it to max-stale, in the windows of RFC 5861, and for 24 hours with immutable',
        rewrite: (made) => is_silent(made) && not_stored(made),
    },
    {
        name: 'other statuses',
        section: 'RFC 9111 §3',
        why: 'with a lifetime any final status may be stored; the package stores those it knows',
        rewrite: (made) => {
            if (PACKAGE_UNDERSTANDS.includes(made.response.status) || NEVER_STORED.includes(made.response.status)) return false;
            made.response.status = 200;
            return true;
        },
    },
    {
        name: 'never fresh, and no validator',
        section: 'RFC 9111 §3, departure',
        why: 'what could only be fetched anew is not stored',
        rewrite: (made) => {
            if (has_validator(made)) return false;
            const windows = ['stale-while-revalidate', 'stale-if-error'].some((name) => find(made.response, name)?.value > 0);
            if (windows && !has(made.response, 'no-cache')) return false;
            const judged = oracle.judge(on_the_wire(made));
            return judged.stored && judged.lifetime <= judged.initial_age && not_stored(made);
        },
    },

    // --- what requests say ---
    {
        name: 'HEAD from GET',
        section: 'RFC 9110 §9.3.2, RFC 9111 §4',
        why: 'a HEAD is answered from what GET has stored; the package wants the same method',
        rewrite: (made) => each(made.later, (one) => {
            if (one.request.method !== 'HEAD') return false;
            one.request.method = 'GET';
            return true;
        }),
    },
    {
        name: 'other spellings of what Vary names',
        section: 'RFC 9111 §4.1',
        why: 'Larder brings Accept-Encoding, and lists as such, to one form that means the same; the package compares the text',
        rewrite: (made) => each(all_requests(made), (one) => each(one.fields, (given) => {
            if (given.means === undefined || given.text === given.means) return false;
            given.text = given.means;
            return true;
        })),
    },
    {
        name: 'max-stale without a value',
        section: 'RFC 9111 §1.2.2, §5.2.1.2',
        why: 'any staleness is to Larder the largest number that it has, 2^31 s or 68 years',
        rewrite: (made) => each(made.later, ({request}) => find(request, 'max-stale')?.value === true && remove(request, 'max-stale')
            && add(request, 'max-stale', MAX_DELTA_S)),
    },
    {
        name: 'max-stale to the second',
        section: 'RFC 9111 §5.2.1.2',
        why: '"no more than" includes the second itself; to the package it does not',
        rewrite: (made) => each(made.later, ({request}) => {
            const max_stale = find(request, 'max-stale');
            if (typeof max_stale?.value !== 'number') return false;
            return remove(request, 'max-stale') && add(request, 'max-stale', max_stale.value + 1);
        }),
    },
    {
        name: 'max-age of a request and immutable',
        section: 'RFC 8246 §2',
        why: 'a fresh immutable response is not asked about for a mere max-age; the package does',
        rewrite: (made) => {
            if (!made.response.was_immutable) return false;
            const judged = oracle.judge(on_the_wire(made));
            return judged.stored && each(made.later, (one, i) => judged.later[i].fresh && remove(one.request, 'max-age'));
        },
    },
    {
        name: 'max-age=0 of a request',
        section: 'RFC 9111 §5.2.1.1',
        why: 'a browser sends it to have a page validated, however young: Larder always asks, the package not in the first second',
        rewrite: (made) => each(made.later, ({request}) => find(request, 'max-age')?.value === 0 && add(request, 'no-cache')),
    },
    {
        name: 'stale-while-revalidate and a request that wants it fresh',
        section: 'RFC 9111 §5.2.1.1, §5.2.1.3',
        why: 'who gives max-age or min-fresh and no max-stale wants nothing stale; the package serves it',
        rewrite: (made) => {
            const judged = oracle.judge(on_the_wire(made));
            return judged.stored && each(made.later, ({request}, i) => judged.later[i].use === 'serve and ask'
                && (has(request, 'max-age') || has(request, 'min-fresh')) && add(request, 'no-cache'));
        },
    },
];

module.exports = {DIFFERENCES};
