/* What a sidecar says in Prometheus' text format: every sample and label, and the sums. */
#include "cli/metrics.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct metric metric;
    while (metric_next(&text, &metric)) {
        struct slice label = metric_label(&metric, "le");
        if (label.size > size || metric.name.size == 0)
            abort();
    }
    struct golden golden = {0}, none = {0};
    golden_add(&golden, slice_of(data, size));
    struct golden since = golden_since(&golden, &none);
    if (golden.bucket_count > GOLDEN_BUCKETS || since.bucket_count != golden.bucket_count)
        abort();
    (void)golden_quantile(&since, 0.99);
    return 0;
}
