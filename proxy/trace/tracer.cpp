#include "proxy/trace/tracer.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "proxy/trace/otlp.hpp"

namespace larder::proxy {

namespace {

std::mt19937_64 seeded_by_kernel()
{
    std::array<std::uint32_t, 16> words{};
    if (::getrandom(words.data(), sizeof words, 0) != static_cast<ssize_t>(sizeof words)) {
        std::random_device device;
        for (std::uint32_t& word : words) word = device();
    }
    std::seed_seq seed(words.begin(), words.end());
    return std::mt19937_64(seed);
}

}  // namespace

bool is_sampled(const rules::TraceId& trace, double ratio) noexcept
{
    if (ratio >= 1) return true;
    return trace.low < static_cast<std::uint64_t>(std::ldexp(std::max(ratio, 0.0), 64));
}

Tracer::Tracer(const config::Tracing& options, SpanQueue& queue)
    : options_(options), queue_(queue), random_(seeded_by_kernel())
{
}

TraceContext Tracer::begin(const rules::Fields& request)
{
    TraceContext context;
    context.span = make_span_id();
    const auto parent = rules::trace_parent(request);
    if (parent) {
        context.trace = parent->trace;
        context.parent = parent->parent;
    } else {
        context.trace = {random_(), make_span_id()};
    }
    const bool decided = parent && options_.follows_parent;
    context.sampled = decided ? parent->sampled : is_sampled(context.trace, options_.ratio);
    return context;
}

rules::SpanId Tracer::make_span_id()
{
    for (;;)
        if (const rules::SpanId id = random_(); id != 0) return id;
}

void Tracer::record(const Span& span)
{
    if (queue_.has_room()) queue_.push(encode_span(options_.protocol, span));
}

}  // namespace larder::proxy
