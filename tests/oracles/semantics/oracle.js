'use strict';
// What http-cache-semantics says about a case, in the words of judge_cases.cpp.

process.env.TZ = 'UTC';  // Date.parse reads asctime dates as local time
const CachePolicy = require('./http-cache-semantics');

/// Field lines as node's http module hands them to the package: names in lower case, one value each.
const FIRST_ONLY = new Set(['age', 'authorization', 'etag', 'expires', 'last-modified']);

function headers_of(fields, headers = {}) {
    for (const [name, text] of fields) {
        const key = name.toLowerCase();
        if (key === 'set-cookie') (headers[key] ??= []).push(text);
        else if (!(key in headers)) headers[key] = text;
        else if (!FIRST_ONLY.has(key)) headers[key] += `, ${text}`;
    }
    return headers;
}

function judge(wire) {
    let now = wire.now;
    class PolicyAtTime extends CachePolicy {
        now() { return now; }
    }
    const as_request = ({method, fields}) => ({method, url: '/a', headers: headers_of(fields, {host: 'a.test'})});
    const response = {status: wire.response.status, headers: headers_of(wire.response.fields)};
    const policy = new PolicyAtTime(as_request(wire.request), response, {shared: true});
    if (!policy.storable()) return {stored: false};
    const failure = {status: 503, headers: {}};
    const initial_age = policy.age();
    return {
        stored: true,
        lifetime: policy.maxAge(),
        initial_age,
        later: wire.later.map(({after, request}) => {
            now = wire.now + after * 1000;
            const again = as_request(request);
            const {revalidation} = policy.evaluateRequest(again);
            const use = !revalidation ? 'serve' : revalidation.synchronous ? 'ask' : 'serve and ask';
            // the package gives the stored policy back when it stands in for the failure
            const on_error = policy.revalidatedPolicy(again, failure).policy === policy;
            return {age: policy.age(), fresh: !policy.stale(), use, 'on error': on_error};
        }),
    };
}

module.exports = {judge};
