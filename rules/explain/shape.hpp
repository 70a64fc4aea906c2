// What the keys or purges of a template can look like: the template with `*` for each value. For explain and lint.
#pragma once

#include <string>

#include "rules/pattern/template.hpp"

namespace larder::rules {

inline std::string shape_of(const Template& text)
{
    std::string shape;
    for (const TemplatePart& part : text.parts) {
        if (part.source == Source::literal)
            shape += part.name;
        else if (part.source == Source::path)
            shape += "/*";
        else if (!shape.ends_with('*'))
            shape += '*';
    }
    return shape;
}

}  // namespace larder::rules
