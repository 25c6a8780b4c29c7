# The simulation: a ball is thrown at `angle` degrees, and air slows it down. Prints where it lands, in metres.
# Replace it with your program, whatever language it is written in.
BEGIN {
    angle *= atan2(0, -1) / 180
    speed_x = 30 * cos(angle); speed_y = 30 * sin(angle)
    step = 0.001; drag = 0.01
    while (height >= 0) {
        speed = sqrt(speed_x ^ 2 + speed_y ^ 2)
        distance += step * speed_x; height += step * speed_y
        speed_x -= step * drag * speed * speed_x
        speed_y -= step * (9.81 + drag * speed * speed_y)
    }
    printf "landed at %.4f m\n", distance
}
