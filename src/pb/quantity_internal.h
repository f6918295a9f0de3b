/*
 * quantity: Kubernetes' numbers with a unit: 100m, 1Gi, 1.5e3.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

bool quantity_is_valid(struct slice text);
