// The variables of OpenTelemetry that concern traces (OTEL_*), as its specification reads them: an empty one is none, a
// value that cannot be used is a warning that says what is used instead. What would send spans to the wrong place, or
// to none, is an error.
#pragma once

#include "config/reading.hpp"

namespace larder::config {

/// After the file was read: what a variable says wins. Without any endpoint no variable is looked at.
void apply_tracing_variables(Reading& reading, Tracing& tracing);

}  // namespace larder::config
