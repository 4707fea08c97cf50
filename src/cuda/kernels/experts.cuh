// A mixture of experts: which experts a token goes to, which tokens an expert gets, and the feed-forwards.
#pragma once
#include "experts_route.cuh"
#include "experts_group.cuh"
#include "experts_one.cuh"
#include "experts_many.cuh"
#include "experts_tensor.cuh"
