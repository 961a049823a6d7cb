#!/bin/sh
# Training in awk: a line is fitted to 200 points by stochastic gradient descent. Knows nothing of balltrain.
#     balltrain sweep --command './train.sh {lr} {momentum} {epochs} {seed}' --space space.toml --objective val_loss
lr=$1 momentum=$2 epochs=$3 seed=$4
awk -v lr="$lr" -v momentum="$momentum" -v epochs="$epochs" -v seed="$seed" '
BEGIN {
    srand(1)                                    # the data are the same for all seeds
    for (i = 0; i < 200; i++) {
        x[i] = 2 * rand() - 1
        y[i] = 3 * x[i] - 1 + 0.1 * (rand() - 0.5)
    }
    srand(seed)
    w = rand() - 0.5; b = 0
    for (epoch = 1; epoch <= epochs; epoch++) {
        for (step = 0; step < 150; step++) {
            i = int(150 * rand())               # the first 150 train, the others validate
            error = w * x[i] + b - y[i]
            dw = momentum * dw + error * x[i]
            db = momentum * db + error
            w -= lr * dw; b -= lr * db
        }
        loss = 0
        for (i = 150; i < 200; i++) loss += (w * x[i] + b - y[i]) ^ 2 / 50
        printf "epoch %d/%d  val_loss: %.6f\n", epoch, epochs, loss
        fflush()
    }
}'
