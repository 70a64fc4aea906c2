#include "rules/base/errors.hpp"  // expect: arrows
